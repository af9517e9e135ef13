// The rules of the reference, written down once more without any index or preparation: what the index is compared with.
import type { Authorization, Match, StringMatch } from '../mesh/index.ts'
import type { Cidr } from '../ip/index.ts'
import type { ConnectionFacts } from './index.ts'

function text(one: StringMatch, fact: string | undefined): boolean {
  if (fact === undefined) return false
  if (one.kind === 'presence') return fact.length > 0
  if (one.kind === 'exact') return one.value === fact
  return one.kind === 'prefix' ? fact.indexOf(one.value) === 0 : fact.endsWith(one.value)
}

/** An address as a text of its bits. IPv6 must be written with all eight words. */
function bits(address: string): string {
  const [parts, base, width] = address.includes(':') ? [address.split(':'), 16, 16] : [address.split('.'), 10, 8]
  return parts.map((part) => Number.parseInt(part, base).toString(2).padStart(width, '0')).join('')
}

function range(one: Cidr, address: string): boolean {
  const sameFamily = one.address.includes(':') === address.includes(':')
  return sameFamily && bits(one.address).slice(0, one.length) === bits(address).slice(0, one.length)
}

function both<Value>(positive: readonly Value[], negative: readonly Value[], hit: (value: Value) => boolean): boolean {
  return (positive.length === 0 || positive.some(hit)) && !negative.some(hit)
}

function isEmpty(match: Match): boolean {
  return Object.values(match).flat().length === 0
}

function holds(m: Match, { source, destination, identity }: ConnectionFacts): boolean {
  const principal = identity && `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`
  const namespace = identity ? identity.namespace : ''
  return (
    both(m.namespaces, m.notNamespaces, (value) => text(value, namespace)) &&
    both(m.principals, m.notPrincipals, (value) => text(value, principal)) &&
    both(
      m.serviceAccounts,
      m.notServiceAccounts,
      (value) => identity?.namespace === value.namespace && identity.serviceAccount === value.serviceAccount,
    ) &&
    both(m.sourceIps, m.notSourceIps, (value) => range(value, source.address)) &&
    both(m.destinationIps, m.notDestinationIps, (value) => range(value, destination.address)) &&
    both(m.destinationPorts, m.notDestinationPorts, (value) => value === destination.port)
  )
}

function matches({ rules }: Authorization, facts: ConnectionFacts): boolean {
  return rules.some((rule) =>
    rule.every((clause) => clause.length === 0 || clause.some((match) => !isEmpty(match) && holds(match, facts))),
  )
}

/** The steps of Istio's evaluation and its result, one a line; all policies apply. */
export function evaluatePlainly(policies: readonly Authorization[], facts: ConnectionFacts): string {
  const told = (action: Authorization['action'], dryRun: boolean): readonly string[] =>
    policies
      .filter((one) => one.action === action && one.dryRun === dryRun && matches(one, facts))
      .map((one) => `${one.namespace}/${one.name}`)
      .sort()
  const has = (dryRun: boolean): boolean => policies.some((one) => one.action === 'Allow' && one.dryRun === dryRun)
  const steps = told('Deny', true).map((key) => `dry-run: deny policy match: ${key}`)
  const [denial] = told('Deny', false)
  if (denial !== undefined) return [...steps, `deny policy match: ${denial}`, 'refused'].join('\n')
  steps.push(...told('Allow', true).map((key) => `dry-run: allow policy match: ${key}`))
  if (!has(false) && has(true) && told('Allow', true).length === 0) steps.push('dry-run: no allow policies match')
  if (!has(false)) return [...steps, 'no allow policies, allow', 'allowed'].join('\n')
  const [permission] = told('Allow', false)
  if (permission !== undefined) return [...steps, `allow policy match: ${permission}`, 'allowed'].join('\n')
  return [...steps, 'no allow policies matched', 'refused'].join('\n')
}
