import { addressKey } from './address-key.ts'
import { Claimants } from './claimants.ts'
import type { Workload } from './workload.ts'

/** Workloads by uid, by address and by who they are on this node. */
export class WorkloadIndex {
  readonly #nodeName: string | undefined
  readonly #byUid = new Map<string, Workload>()
  readonly #byAddress = new Claimants(rank)
  readonly #local = new Claimants(() => 0)

  /** Without a node name every workload counts as local. */
  constructor(nodeName: string | undefined) {
    this.#nodeName = nodeName
  }

  get size(): number {
    return this.#byUid.size
  }

  all(): IterableIterator<Workload> {
    return this.#byUid.values()
  }

  get(uid: string): Workload | undefined {
    return this.#byUid.get(uid)
  }

  /** Where several workloads claim one address the best is answered: pods and HBONE first, then the newest. */
  byAddress(network: string, address: string): Workload | undefined {
    return this.#byAddress.get(addressKey(network, address))
  }

  /** Where several records say that they are this pod, the newest is answered. */
  local(namespace: string, name: string, serviceAccount: string): Workload | undefined {
    return this.#local.get(localKey({ namespace, name, serviceAccount }))
  }

  /** Any workload of that hostname and namespace; a scan, for hostname gateways only. */
  byHostname(namespace: string, hostname: string): Workload | undefined {
    for (const workload of this.#byUid.values()) {
      if (workload.hostname === hostname && workload.namespace === namespace) return workload
    }
    return undefined
  }

  insert(workload: Workload): void {
    this.remove(workload.uid)
    this.#byUid.set(workload.uid, workload)
    if (this.#isLocal(workload)) this.#local.add(localKey(workload), workload)
    for (const key of addressKeys(workload)) this.#byAddress.add(key, workload)
  }

  remove(uid: string): void {
    const workload = this.#byUid.get(uid)
    if (!workload) return
    this.#byUid.delete(uid)
    if (this.#isLocal(workload)) this.#local.remove(localKey(workload), workload)
    for (const key of addressKeys(workload)) this.#byAddress.remove(key, workload)
  }

  #isLocal({ node }: Workload): boolean {
    return this.#nodeName === undefined || node === this.#nodeName
  }
}

function localKey({
  namespace,
  name,
  serviceAccount,
}: Pick<Workload, 'namespace' | 'name' | 'serviceAccount'>): string {
  return `${namespace}/${name}/${serviceAccount}`
}

function addressKeys({ networkMode, network, workloadIps }: Workload): readonly string[] {
  // An address that a record names twice is claimed once.
  return networkMode === 'HostNetwork' ? [] : [...new Set(workloadIps)].map((address) => addressKey(network, address))
}

function rank({ uid, protocol }: Workload): number {
  return (uid.includes('//Pod/') ? 2 : 0) + (protocol === 'HBONE' ? 1 : 0)
}
