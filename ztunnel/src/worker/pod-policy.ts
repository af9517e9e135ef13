import type { Mesh, Workload } from '@ambit/shared/mesh'
import type { ConnectionFacts, PolicySet, Verdict } from '@ambit/shared/policy'
import type { PodIdentity } from '../config/index.ts'
import type { OpenConnections } from './open-connections.ts'

export interface PodPolicyOptions {
  readonly mesh: Mesh
  readonly policies: PolicySet
  readonly pod: PodIdentity
  readonly connections: OpenConnections
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

  constructor(options: PodPolicyOptions) {
    this.#options = options
  }

  /** The verdict about a new connection, which must be among the open ones already so that no change slips between. */
  judge(record: Workload, facts: ConnectionFacts): Verdict {
    this.#record ??= record
    return this.#options.policies.evaluate(record, facts)
  }

  /** After any change of the mesh that may concern this pod: open connections that are refused now are closed. */
  recheck(): void {
    const { mesh, policies, pod, connections } = this.#options
    const record = mesh.localWorkload(pod.namespace, pod.name, pod.serviceAccount) ?? this.#record
    if (!record) return
    this.#record = record
    connections.recheck((facts) => policies.evaluate(record, facts).allowed)
  }
}
