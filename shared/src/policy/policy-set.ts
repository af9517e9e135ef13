import { policyKey, type Authorization, type Workload } from '../mesh/index.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import { evaluate } from './evaluate.ts'
import { PolicyIndex, type ApplicablePolicies } from './policy-index.ts'
import type { Verdict } from './verdict.ts'

/** What decides which policies apply to a workload: read anew at each question, so that no snapshot can be stale. */
export type PolicyTarget = Pick<Workload, 'namespace' | 'authorizationPolicies'>

interface Stored {
  readonly policy: Authorization
  readonly index: PolicyIndex
  readonly group: string
}

/**
 * All policies of the mesh, one index for the global ones, one for those of each namespace and one for those of each
 * namespace that select workloads. Kept up to date policy by policy (10 µs each), so that no change of 10,000 policies
 * stops the traffic. One per process. Bounded by what the control plane sends.
 */
export class PolicySet {
  readonly #stored = new Map<string, Stored>()
  readonly #groups = new Map<string, PolicyIndex>()

  get size(): number {
    return this.#stored.size
  }

  /** Adds a policy or replaces the one of the same namespace and name, whatever its scope was. */
  set(policy: Authorization): void {
    const key = policyKey(policy)
    this.delete(key)
    const group = groupOf(policy)
    const index = this.#groups.get(group) ?? new PolicyIndex()
    this.#groups.set(group, index)
    index.add(policy)
    this.#stored.set(key, { policy, index, group })
  }

  /** By `namespace/name`; nothing where it is not there. */
  delete(key: string): void {
    const stored = this.#stored.get(key)
    if (!stored) return
    stored.index.remove(key)
    if (stored.index.isEmpty) this.#groups.delete(stored.group)
    this.#stored.delete(key)
  }

  /**
   * What the policies in force say about a connection to the workload: those of all the mesh, of its namespace, and those
   * that it names. A named policy that is not there (yet) refuses: nobody knows what it says. (Istio's ztunnel goes on
   * without it.)
   */
  evaluate(target: PolicyTarget, facts: ConnectionFacts): Verdict {
    const [policy] = this.missing(target)
    if (policy !== undefined) {
      const events = [{ message: 'policy is not known, refuse', policy } as const]
      return { allowed: false, reason: `policy ${policy} is not known`, policy, events }
    }
    return evaluate(this.#applicable(target), facts)
  }

  /** Policies that the workload names and that are not known. */
  missing({ authorizationPolicies }: PolicyTarget): readonly string[] {
    return authorizationPolicies.filter((key) => !this.#stored.has(key))
  }

  #applicable({ namespace, authorizationPolicies }: PolicyTarget): readonly ApplicablePolicies[] {
    const whole = new Set([GLOBAL, namespaceGroup(namespace)])
    const applicable: ApplicablePolicies[] = []
    for (const group of whole) {
      const index = this.#groups.get(group)
      if (index) applicable.push({ index, applicable: undefined })
    }
    const named = new Map<PolicyIndex, Set<string>>()
    for (const key of authorizationPolicies) {
      const stored = this.#stored.get(key)
      if (!stored || whole.has(stored.group)) continue
      const keys = named.get(stored.index) ?? new Set()
      keys.add(key)
      named.set(stored.index, keys)
    }
    for (const [index, keys] of named) applicable.push({ index, applicable: keys })
    return applicable
  }
}

const GLOBAL = 'global'

function namespaceGroup(namespace: string): string {
  return `namespace/${namespace}`
}

function groupOf({ scope, namespace }: Authorization): string {
  switch (scope) {
    case 'Global':
      return GLOBAL
    case 'Namespace':
      return namespaceGroup(namespace)
    case 'WorkloadSelector':
      return `selector/${namespace}`
    default:
      // Of an unknown scope nobody knows whom it concerns: it is unreadable, and refuses everybody.
      return GLOBAL
  }
}

/** A fixed list of policies that all apply: the order is no matter, of several with one key the last counts. */
export interface CompiledPolicies {
  evaluate(facts: ConnectionFacts): Verdict
}

/** For a list that somebody else chose. A process that keeps all policies of a mesh keeps a PolicySet instead. */
export function compilePolicies(list: Iterable<Authorization>): CompiledPolicies {
  const index = new PolicyIndex()
  for (const policy of list) index.add(policy)
  const applicable = [{ index, applicable: undefined }]
  return { evaluate: (facts) => evaluate(applicable, facts) }
}
