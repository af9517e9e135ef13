import type { ConnectionFacts } from './connection-facts.ts'
import { hasAny, type ApplicablePolicies, type PolicyIndex } from './policy-index.ts'
import { prepareFacts, type PreparedFacts } from './prepared-facts.ts'
import { MAX_DRY_RUN_EVENTS, type PolicyEvent, type Verdict } from './verdict.ts'

type Kind = 'deny' | 'allow' | 'dryRunDeny' | 'dryRunAllow'

/**
 * Istio's order: a matching DENY refuses; without any ALLOW the connection is allowed; else one of them must match. Dry
 * runs are told and change nothing. What cannot be understood refuses before all.
 */
export function evaluate(policies: readonly ApplicablePolicies[], connection: ConnectionFacts): Verdict {
  const facts = prepareFacts(connection)
  if (!facts) return { allowed: false, reason: 'an address of the connection cannot be read', events: [] }
  const events: PolicyEvent[] = []

  for (const { index, applicable } of policies) {
    const unreadable = index.unreadable(applicable)
    if (!unreadable) continue
    const [policy, why] = unreadable
    events.push({ message: 'policy cannot be understood, refuse', policy })
    return { allowed: false, reason: `policy ${policy} cannot be understood: ${why}`, policy, events }
  }

  for (const policy of dryRunMatches(policies, 'dryRunDeny', facts)) {
    events.push({ message: 'dry-run: deny policy match', policy })
  }
  const denial = firstMatch(policies, 'deny', facts)
  if (denial !== undefined) {
    events.push({ message: 'deny policy match', policy: denial })
    return { allowed: false, reason: `explicitly denied by: ${denial}`, policy: denial, events }
  }

  const hasAllow = anyOf(policies, 'allow')
  const dryRunAllows = dryRunMatches(policies, 'dryRunAllow', facts)
  for (const policy of dryRunAllows) events.push({ message: 'dry-run: allow policy match', policy })
  if (!hasAllow && dryRunAllows.length === 0 && anyOf(policies, 'dryRunAllow')) {
    events.push({ message: 'dry-run: no allow policies match' })
  }

  if (!hasAllow) {
    events.push({ message: 'no allow policies, allow' })
    return { allowed: true, events }
  }
  const permission = firstMatch(policies, 'allow', facts)
  if (permission !== undefined) {
    events.push({ message: 'allow policy match', policy: permission })
    return { allowed: true, policy: permission, events }
  }
  events.push({ message: 'no allow policies matched' })
  return { allowed: false, reason: 'allow policies exist, but none allowed', events }
}

function anyOf(policies: readonly ApplicablePolicies[], kind: Kind): boolean {
  return policies.some(({ index, applicable }) => hasAny(index[kind satisfies keyof PolicyIndex], applicable))
}

function firstMatch(policies: readonly ApplicablePolicies[], kind: Kind, facts: PreparedFacts): string | undefined {
  let first: string | undefined
  for (const { index, applicable } of policies) {
    const match = index[kind].firstMatch(facts, applicable)
    if (match !== undefined && (first === undefined || match < first)) first = match
  }
  return first
}

function dryRunMatches(
  policies: readonly ApplicablePolicies[],
  kind: 'dryRunDeny' | 'dryRunAllow',
  facts: PreparedFacts,
): readonly string[] {
  if (!anyOf(policies, kind)) return []
  const found = policies.flatMap(({ index, applicable }) => [
    ...index[kind].matches(facts, applicable, MAX_DRY_RUN_EVENTS),
  ])
  return found.sort().slice(0, MAX_DRY_RUN_EVENTS)
}
