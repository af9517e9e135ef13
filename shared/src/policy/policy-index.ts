import { policyKey, type Authorization } from '../mesh/index.ts'
import { RuleIndex, type Applicable } from './rule-index.ts'
import { whyUnreadable } from './unreadable.ts'

export type PolicyKind = 'deny' | 'allow' | 'dryRunDeny' | 'dryRunAllow'

/** Rules of which those of some policies apply. */
export interface ApplicableRules {
  readonly index: RuleIndex
  readonly applicable: Applicable
}

/** Policies by what they do, so that each step of an evaluation asks only those that it is about. */
export class PolicyIndex {
  readonly deny = new RuleIndex()
  readonly allow = new RuleIndex()
  readonly dryRunDeny = new RuleIndex()
  readonly dryRunAllow = new RuleIndex()
  /** By `namespace/name`. Every connection that such a policy may concern is refused, unless it is only tried. */
  readonly #unreadable = new Map<string, { readonly why: string; readonly refuses: boolean }>()

  /** Replaces a policy of the same namespace and name. */
  add(policy: Authorization): void {
    const key = policyKey(policy)
    this.remove(key)
    const why = whyUnreadable(policy)
    if (why === undefined) {
      this.#indexOf(policy).add(policy)
      return
    }
    // Exactly true, since nothing of a policy that cannot be understood is certain to have its type.
    const dryRun: unknown = policy.dryRun
    this.#unreadable.set(key, { why, refuses: dryRun !== true })
  }

  remove(key: string): void {
    this.#unreadable.delete(key)
    for (const index of this.#all()) index.remove(key)
  }

  get isEmpty(): boolean {
    return this.#unreadable.size === 0 && this.#all().every((index) => index.size === 0)
  }

  /** The first applicable policy that cannot be understood, with the reason. */
  unreadable(applicable: Applicable): readonly [key: string, why: string] | undefined {
    for (const [key, { why, refuses }] of this.#unreadable) {
      if (refuses && (!applicable || applicable.has(key))) return [key, why]
    }
    return undefined
  }

  /** The rules of one kind of policy, where any of those applies, whether or not it has rules. */
  rules(kind: PolicyKind, applicable: Applicable): readonly ApplicableRules[] {
    const index = this[kind]
    if (!applicable) return index.size > 0 ? [{ index, applicable }] : []
    const ofKind = new Set([...applicable].filter((key) => index.has(key)))
    if (ofKind.size === 0) return []
    return [{ index, applicable: ofKind.size === index.size ? undefined : ofKind }]
  }

  #all(): readonly RuleIndex[] {
    return [this.deny, this.allow, this.dryRunDeny, this.dryRunAllow]
  }

  #indexOf({ action, dryRun }: Authorization): RuleIndex {
    switch (action) {
      case 'Deny':
        return dryRun ? this.dryRunDeny : this.deny
      case 'Allow':
        return dryRun ? this.dryRunAllow : this.allow
    }
  }
}
