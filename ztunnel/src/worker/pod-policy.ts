import type { Mesh, Workload } from '@ambit/shared/mesh'
import type { ConnectionFacts, PolicySet, Verdict } from '@ambit/shared/policy'
import type { PodIdentity } from '../pod.ts'
import type { OpenConnections, TrackedConnection } from './open-connections.ts'
import type { Recheck } from './recheck.ts'

export interface PodPolicyOptions {
  readonly mesh: Mesh
  readonly policies: PolicySet
  readonly pod: PodIdentity
  readonly connections: OpenConnections
  readonly recheck: Recheck
}

/** What policy says about the connections to one pod: when they come, and again when something changes while they are open. */
export class PodPolicy {
  readonly #options: PodPolicyOptions
  /**
   * By what open connections are judged: the pod's record, or the last one where it has gone. Without a record nobody new
   * gets in. Those that are open are still asked about, or no policy would reach them any more; and not simply closed, for
   * a record goes before its pod has ended, and a changed uid may come as a removal first. So policies of today count, for
   * the pod that was last known (Istio: always the record of when the connection came).
   */
  #record: Workload | undefined
  /** The state of the policies that open connections were last judged by. */
  #generation: number

  constructor(options: PodPolicyOptions) {
    this.#options = options
    this.#generation = options.policies.generation
  }

  /** The verdict about a new connection, which must be among the open ones already so that no change slips between. */
  judge(record: Workload, facts: ConnectionFacts): Verdict {
    this.#record ??= record
    return this.#options.policies.evaluate(record, facts)
  }

  /**
   * After every change of policies or workloads: where the pod's own record is another one, or a policy that applies to it
   * has changed, open connections are asked about again soon. Nothing else in the mesh decides about them: the facts of a
   * connection are addresses and an identity, which do not change while it is open.
   */
  meshChanged(): void {
    const { mesh, policies, pod, connections, recheck } = this.#options
    const since = this.#generation
    this.#generation = policies.generation
    const record = mesh.localWorkload(pod.namespace, pod.name, pod.serviceAccount) ?? this.#record
    if (!record) return
    const isAnother = record !== this.#record
    this.#record = record
    if (isAnother || policies.changedFor(record, since)) recheck.add(connections.inbound(), this.#ask)
  }

  /** By the record and the policies of the moment, which may have changed again since the connection was put into line. */
  readonly #ask = (connection: TrackedConnection): void => {
    const { policies, connections } = this.#options
    const record = this.#record
    if (record) connections.recheck(connection, (facts) => policies.evaluate(record, facts).allowed)
  }
}
