import { isDeepStrictEqual } from 'node:util'
import { messageOf } from '@ambit/shared/errors'
import { isLinkLocal } from '@ambit/shared/ip'
import type { Log } from '@ambit/shared/log'
import type { Mesh, Workload } from '@ambit/shared/mesh'
import { isAssigned, isLocalAddress, ProbeBypass, type NetworkNamespace } from '../linux/index.ts'
import type { Pod } from '../pod.ts'

export interface PodProbesOptions {
  /** Of the node, whose own processes probe pods. */
  readonly node: NetworkNamespace
  readonly mesh: Pick<Mesh, 'localWorkload'>
  readonly log: Log
}

interface ProbedPod {
  readonly pod: Pod
  readonly namespace: NetworkNamespace
  /** What the mesh said when it was last looked at. */
  record: Workload | undefined
  /** Those that the node's rules are to name. */
  addresses: readonly string[]
}

/**
 * Lets the node's own processes reach captured pods past the proxy, at the addresses that the mesh has for them. A pod's word
 * does not count: an address that it gives itself may be anybody's, and what the node sends there would no longer arrive.
 * So it is with an address that the pod does not have (any more), and with the node's own. Remembers the captured pods. Owns
 * `node`.
 */
export class PodProbes {
  readonly #options: PodProbesOptions
  readonly #bypass: ProbeBypass
  readonly #pods = new Map<string, ProbedPod>()

  constructor(options: PodProbesOptions) {
    this.#options = options
    this.#bypass = new ProbeBypass(options.node)
  }

  /**
   * Resolves when the pod can be probed where the mesh knows it; where not, it can be as soon as the mesh does. Throws NftError or
   * SystemCallError. `namespace` stays the caller's; once it is closed the pod's addresses stay as they are.
   */
  async add(pod: Pod, namespace: NetworkNamespace): Promise<void> {
    const record = this.#recordOf(pod)
    const probed: ProbedPod = { pod, namespace, record, addresses: [] }
    this.#pods.set(pod.uid, probed)
    probed.addresses = this.#addressesOf(probed)
    await this.#bypass.add(pod.uid, probed.addresses)
  }

  /** Throws NftError. */
  async remove(uid: string): Promise<void> {
    this.#pods.delete(uid)
    await this.#bypass.remove(uid)
  }

  /** Records of pods may be new. */
  meshChanged(): void {
    for (const probed of this.#pods.values()) {
      const record = this.#recordOf(probed.pod)
      if (record === probed.record) continue
      probed.record = record
      this.#settle(probed).catch((error: unknown) => {
        this.#options.log.warn("the node's rules for probes are not in place: kubelet probes of pods may fail", {
          error: messageOf(error),
        })
      })
    }
  }

  /**
   * Looks again which addresses the pods have, and whether the node's rules are as they were made; mends what someone changed.
   * Throws NftError or SystemCallError.
   */
  async mend(): Promise<'intact' | 'mended'> {
    await Promise.all([...this.#pods.values()].map((probed) => this.#settle(probed)))
    return this.#bypass.mend()
  }

  close(): void {
    this.#bypass.close()
  }

  async #settle(probed: ProbedPod): Promise<void> {
    const addresses = this.#addressesOf(probed)
    if (isDeepStrictEqual(addresses, probed.addresses)) return
    probed.addresses = addresses
    await this.#bypass.add(probed.pod.uid, addresses)
  }

  #recordOf({ namespace, name, serviceAccount }: Pod): Workload | undefined {
    return this.#options.mesh.localWorkload(namespace, name, serviceAccount)
  }

  #addressesOf({ namespace, record, addresses }: ProbedPod): readonly string[] {
    if (namespace.isClosed) return addresses
    const { node } = this.#options
    return (record?.workloadIps ?? []).filter((address) => {
      return !isLinkLocal(address) && isAssigned(namespace, address) && !isLocalAddress(node, address)
    })
  }
}
