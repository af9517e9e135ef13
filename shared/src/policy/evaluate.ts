import type { ApplicablePolicies } from './applicable-policies.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import type { ApplicableRules } from './policy-index.ts'
import { prepareFacts, type PreparedFacts } from './prepared-facts.ts'
import { MAX_DRY_RUN_EVENTS, type PolicyEvent, type Verdict } from './verdict.ts'

/**
 * Istio's order: a matching DENY refuses; without any ALLOW the connection is allowed; else one of them must match. Dry
 * runs are told and change nothing. What cannot be understood refuses before all.
 */
export function evaluate(policies: ApplicablePolicies, connection: ConnectionFacts): Verdict {
  const facts = prepareFacts(connection)
  if (!facts) return { allowed: false, reason: 'an address of the connection cannot be read', events: [] }
  const events: PolicyEvent[] = []

  if (policies.unreadable) {
    const [policy, why] = policies.unreadable
    events.push({ message: 'policy cannot be understood, refuse', policy })
    return { allowed: false, reason: `policy ${policy} cannot be understood: ${why}`, policy, events }
  }

  for (const policy of dryRunMatches(policies.dryRunDeny, facts)) {
    events.push({ message: 'dry-run: deny policy match', policy })
  }
  const denial = firstMatch(policies.deny, facts)
  if (denial !== undefined) {
    events.push({ message: 'deny policy match', policy: denial })
    return { allowed: false, reason: `explicitly denied by: ${denial}`, policy: denial, events }
  }

  const hasAllow = policies.allow.length > 0
  const dryRunAllows = dryRunMatches(policies.dryRunAllow, facts)
  for (const policy of dryRunAllows) events.push({ message: 'dry-run: allow policy match', policy })
  if (!hasAllow && dryRunAllows.length === 0 && policies.dryRunAllow.length > 0) {
    events.push({ message: 'dry-run: no allow policies match' })
  }

  if (!hasAllow) {
    events.push({ message: 'no allow policies, allow' })
    return { allowed: true, events }
  }
  const permission = firstMatch(policies.allow, facts)
  if (permission !== undefined) {
    events.push({ message: 'allow policy match', policy: permission })
    return { allowed: true, policy: permission, events }
  }
  events.push({ message: 'no allow policies matched' })
  return { allowed: false, reason: 'allow policies exist, but none allowed', events }
}

function firstMatch(rules: readonly ApplicableRules[], facts: PreparedFacts): string | undefined {
  let first: string | undefined
  for (const { index, applicable } of rules) {
    const match = index.firstMatch(facts, applicable)
    if (match !== undefined && (first === undefined || match < first)) first = match
  }
  return first
}

function dryRunMatches(rules: readonly ApplicableRules[], facts: PreparedFacts): readonly string[] {
  if (rules.length === 0) return []
  const found = rules.flatMap(({ index, applicable }) => [...index.matches(facts, applicable, MAX_DRY_RUN_EVENTS)])
  return found.sort().slice(0, MAX_DRY_RUN_EVENTS)
}
