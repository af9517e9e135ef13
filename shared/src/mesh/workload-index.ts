import type { Workload } from './workload.ts'

/** Workloads by uid, by address and by who they are on this node. */
export class WorkloadIndex {
  readonly #nodeName: string | undefined
  readonly #byUid = new Map<string, Workload>()
  readonly #byAddress = new Map<string, readonly Workload[]>()
  readonly #local = new Map<string, Workload>()

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
    return this.#byAddress.get(`${network}/${address}`)?.[0]
  }

  local(namespace: string, name: string, serviceAccount: string): Workload | undefined {
    return this.#local.get(`${namespace}/${name}/${serviceAccount}`)
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
    if (this.#nodeName === undefined || workload.node === this.#nodeName) this.#local.set(localKey(workload), workload)
    for (const key of addressKeys(workload)) {
      const others = this.#byAddress.get(key)
      // Newest first, then by rank: the sort is stable, so the newest of equal rank stays in front.
      this.#byAddress.set(key, others ? [workload, ...others].sort((a, b) => rank(b) - rank(a)) : [workload])
    }
  }

  remove(uid: string): void {
    const workload = this.#byUid.get(uid)
    if (!workload) return
    this.#byUid.delete(uid)
    if (this.#local.get(localKey(workload)) === workload) this.#local.delete(localKey(workload))
    for (const key of addressKeys(workload)) {
      const rest = this.#byAddress.get(key)?.filter((other) => other !== workload) ?? []
      if (rest.length > 0) this.#byAddress.set(key, rest)
      else this.#byAddress.delete(key)
    }
  }
}

function localKey({ namespace, name, serviceAccount }: Workload): string {
  return `${namespace}/${name}/${serviceAccount}`
}

function addressKeys({ networkMode, network, workloadIps }: Workload): readonly string[] {
  return networkMode === 'HostNetwork' ? [] : workloadIps.map((address) => `${network}/${address}`)
}

function rank({ uid, protocol }: Workload): number {
  return (uid.includes('//Pod/') ? 2 : 0) + (protocol === 'HBONE' ? 1 : 0)
}
