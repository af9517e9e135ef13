import type { ApplicableRules, PolicyIndex, PolicyKind } from './policy-index.ts'
import type { Applicable } from './rule-index.ts'

/** The policies that apply to a workload, by what they do; true until any of them changes. */
export interface ApplicablePolicies extends Readonly<Record<PolicyKind, readonly ApplicableRules[]>> {
  /** The first that cannot be understood, with the reason. */
  readonly unreadable: readonly [key: string, why: string] | undefined
}

/** What applies of each of these indices. */
export function gatherPolicies(
  chosen: readonly (readonly [index: PolicyIndex, applicable: Applicable])[],
): ApplicablePolicies {
  const rules = (kind: PolicyKind): readonly ApplicableRules[] =>
    chosen.flatMap(([index, applicable]) => index.rules(kind, applicable))
  let unreadable: ApplicablePolicies['unreadable']
  for (const [index, applicable] of chosen) unreadable ??= index.unreadable(applicable)
  return {
    unreadable,
    deny: rules('deny'),
    allow: rules('allow'),
    dryRunDeny: rules('dryRunDeny'),
    dryRunAllow: rules('dryRunAllow'),
  }
}
