import type { Authorization, Match, ServiceAccountMatch, StringMatch } from '../mesh/index.ts'
import type { Cidr } from '../ip/index.ts'
import { ipRange } from './ip-range.ts'

type Check<Value> = (value: Value) => boolean

/** Every attribute of a match with what makes one of its values readable. An attribute that is missing here is unknown. */
const ATTRIBUTES: { readonly [Name in keyof Match]: Check<Match[Name][number]> } = {
  namespaces: isStringMatch,
  notNamespaces: isStringMatch,
  principals: isStringMatch,
  notPrincipals: isStringMatch,
  serviceAccounts: isServiceAccount,
  notServiceAccounts: isServiceAccount,
  sourceIps: isCidr,
  notSourceIps: isCidr,
  destinationIps: isCidr,
  notDestinationIps: isCidr,
  destinationPorts: isPort,
  notDestinationPorts: isPort,
}

const ATTRIBUTE_NAMES = Object.keys(ATTRIBUTES)

/**
 * Why a policy cannot be enforced, or undefined. The type says that it can; but policies come from other processes and
 * releases, and one that means more than this code knows must refuse, not be ignored.
 */
export function whyUnreadable({ scope, action, dryRun, rules }: Authorization): string | undefined {
  if (scope !== 'Global' && scope !== 'Namespace' && scope !== 'WorkloadSelector')
    return `unknown scope ${shown(scope)}`
  if (action !== 'Allow' && action !== 'Deny') return `unknown action ${shown(action)}`
  if (typeof dryRun !== 'boolean') return `dryRun is ${shown(dryRun)}`
  if (!Array.isArray(rules)) return 'its rules are no list'
  for (const rule of rules) {
    if (!Array.isArray(rule)) return 'a rule is no list of clauses'
    for (const clause of rule) {
      if (!Array.isArray(clause)) return 'a clause is no list of matches'
      for (const match of clause) {
        const why = whyMatchUnreadable(match)
        if (why !== undefined) return why
      }
    }
  }
  return undefined
}

function whyMatchUnreadable(match: Match): string | undefined {
  if (typeof match !== 'object' || match === null) return 'a match is no object'
  for (const name in match) if (!Object.hasOwn(ATTRIBUTES, name)) return `unknown attribute ${shown(name)}`
  for (const name of ATTRIBUTE_NAMES) {
    // ATTRIBUTE_NAMES are the keys of a Match, and each check belongs to the values of its key.
    const values: unknown = match[name as keyof Match]
    const check = ATTRIBUTES[name as keyof Match] as Check<unknown>
    if (!Array.isArray(values)) return `${name} is no list`
    for (const value of values) if (!check(value)) return `unknown value ${shown(value)} in ${name}`
  }
  return undefined
}

function isStringMatch(match: StringMatch): boolean {
  switch (match?.kind) {
    case 'exact':
    case 'prefix':
    case 'suffix':
      return typeof match.value === 'string'
    case 'presence':
      return true
    default:
      return false
  }
}

function isServiceAccount(match: ServiceAccountMatch): boolean {
  return typeof match?.namespace === 'string' && typeof match.serviceAccount === 'string'
}

function isCidr(cidr: Cidr): boolean {
  return typeof cidr?.address === 'string' && ipRange(cidr) !== undefined
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= 0xffff
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'undefined').slice(0, 100)
}
