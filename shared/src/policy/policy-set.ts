import { policyKey, type Authorization, type Workload } from '../mesh/index.ts'
import type { ConnectionFacts } from './connection-facts.ts'
import { evaluate } from './evaluate.ts'
import { PolicyIndex, type ApplicablePolicies } from './policy-index.ts'
import type { Verdict } from './verdict.ts'

/** What decides which policies apply to a workload: read anew at each question, so that no snapshot can be stale. */
export type PolicyTarget = Pick<Workload, 'namespace' | 'authorizationPolicies'>

interface Group {
  readonly name: string
  readonly index: PolicyIndex
  /** The generation in which a policy of it last came, went or changed. */
  changedIn: number
}

interface Stored {
  readonly group: Group
  readonly changedIn: number
}

/**
 * All policies of the mesh, one index for the global ones, one for those of each namespace and one for those of each
 * namespace that select workloads. Kept up to date policy by policy (10 µs each), so that no change of 10,000 policies
 * stops the traffic. One per process. Bounded by what the control plane sends.
 */
export class PolicySet {
  readonly #stored = new Map<string, Stored>()
  readonly #groups = new Map<string, Group>()
  #generation = 0
  /** When the last policy of a group, and when any policy last went: what is not there cannot say itself when it changed. */
  #emptiedIn = 0
  #deletedIn = 0

  get size(): number {
    return this.#stored.size
  }

  /** Grows with every change. */
  get generation(): number {
    return this.#generation
  }

  /** Adds a policy or replaces the one of the same namespace and name, whatever its scope was. */
  set(policy: Authorization): void {
    const key = policyKey(policy)
    const name = groupOf(policy)
    const changedIn = ++this.#generation
    const stored = this.#stored.get(key)
    if (stored && stored.group.name !== name) this.#takeOut(key, stored.group)
    const group = this.#groups.get(name) ?? { name, index: new PolicyIndex(), changedIn }
    this.#groups.set(name, group)
    group.index.add(policy)
    group.changedIn = changedIn
    this.#stored.set(key, { group, changedIn })
  }

  /** By `namespace/name`; nothing where it is not there. */
  delete(key: string): void {
    const stored = this.#stored.get(key)
    if (!stored) return
    this.#deletedIn = ++this.#generation
    this.#stored.delete(key)
    this.#takeOut(key, stored.group)
  }

  /** True where a policy that applies, or applied, to the workload may have changed after that generation. */
  changedFor({ namespace, authorizationPolicies }: PolicyTarget, since: number): boolean {
    if (this.#generation === since) return false
    for (const name of [GLOBAL, namespaceGroup(namespace)]) {
      if ((this.#groups.get(name)?.changedIn ?? this.#emptiedIn) > since) return true
    }
    return authorizationPolicies.some((key) => (this.#stored.get(key)?.changedIn ?? this.#deletedIn) > since)
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

  #takeOut(key: string, group: Group): void {
    group.index.remove(key)
    group.changedIn = this.#generation
    if (!group.index.isEmpty) return
    this.#groups.delete(group.name)
    this.#emptiedIn = this.#generation
  }

  #applicable({ namespace, authorizationPolicies }: PolicyTarget): readonly ApplicablePolicies[] {
    const whole = new Set([GLOBAL, namespaceGroup(namespace)])
    const applicable: ApplicablePolicies[] = []
    for (const group of whole) {
      const index = this.#groups.get(group)?.index
      if (index) applicable.push({ index, applicable: undefined })
    }
    const named = new Map<PolicyIndex, Set<string>>()
    for (const key of authorizationPolicies) {
      const stored = this.#stored.get(key)
      if (!stored || whole.has(stored.group.name)) continue
      const keys = named.get(stored.group.index) ?? new Set()
      keys.add(key)
      named.set(stored.group.index, keys)
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
