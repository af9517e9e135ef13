import type { Mesh, Workload } from '@ambit/shared/mesh'
import { compilePolicies, type CompiledPolicies, type ConnectionFacts, type Verdict } from '@ambit/shared/policy'

/**
 * The policies that apply to one pod, compiled when first needed and again after `invalidate`. Holds no snapshot of the
 * workload: a change of its labels or of its policy list counts from the next question on.
 */
export class PodPolicy {
  readonly #mesh: Mesh
  #workload: Workload | undefined
  #compiled: CompiledPolicies | undefined

  constructor(mesh: Mesh) {
    this.#mesh = mesh
  }

  /** The mesh changed in a way that may concern this pod. */
  invalidate(): void {
    this.#compiled = undefined
  }

  evaluate(workload: Workload, facts: ConnectionFacts): Verdict {
    if (!this.#compiled || this.#workload !== workload) {
      this.#workload = workload
      this.#compiled = compilePolicies(this.#mesh.policiesFor(workload))
    }
    return this.#compiled.evaluate(facts)
  }
}
