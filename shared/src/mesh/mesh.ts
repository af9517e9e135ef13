import { policyKey, type Authorization } from './authorization.ts'
import type { MeshResource, MeshUpdate } from './mesh-update.ts'
import { ServiceIndex } from './service-index.ts'
import { serviceKey, type Endpoint, type Service } from './service.ts'
import { WorkloadIndex } from './workload-index.ts'
import type { Workload } from './workload.ts'

/** What an update touched, by key. */
export interface MeshChange {
  readonly workloads: ReadonlySet<string>
  readonly services: ReadonlySet<string>
  readonly policies: ReadonlySet<string>
}

/** What of the mesh is local. */
export interface MeshOptions {
  /** Only workloads of this node are local; without it all are. */
  readonly nodeName: string | undefined
}

/** A workload behind a service. */
export interface ServiceEndpoint {
  readonly endpoint: Endpoint
  readonly workload: Workload
}

/**
 * What a proxy knows of the mesh: workloads, services and policies with their indices (Istio's Workload API). Resources are
 * immutable; an update replaces them whole. Bounded by what its source sends.
 */
export class Mesh {
  readonly #workloads: WorkloadIndex
  readonly #services = new ServiceIndex()
  /** Endpoints by service key and workload uid. Kept for services not seen yet and for unhealthy workloads too. */
  readonly #endpoints = new Map<string, Map<string, Endpoint>>()
  /** Those of #endpoints that may be chosen, made when first asked for. */
  readonly #eligible = new Map<string, readonly ServiceEndpoint[]>()
  /** Endpoints that a service's own record names, by service key and workload uid; they count where the workload is silent. */
  readonly #named = new Map<string, ReadonlyMap<string, Endpoint>>()
  /** The services of #named, by workload uid. */
  readonly #namedBy = new Map<string, Set<string>>()
  readonly #policies = new Map<string, Authorization>()
  readonly #listeners = new Set<(change: MeshChange) => void>()

  constructor({ nodeName }: MeshOptions) {
    this.#workloads = new WorkloadIndex(nodeName)
  }

  get sizes(): { readonly workloads: number; readonly services: number; readonly policies: number } {
    return { workloads: this.#workloads.size, services: this.#services.size, policies: this.#policies.size }
  }

  /** Removals first, then upserts; the listeners are told once. Unknown removals are ignored. */
  apply({ upserts, removals }: MeshUpdate): void {
    const change = { workloads: new Set<string>(), services: new Set<string>(), policies: new Set<string>() }
    for (const key of removals) {
      const slash = key.indexOf('/')
      this.#remove(key.slice(0, slash), key.slice(slash + 1), change)
    }
    for (const resource of upserts) this.#upsert(resource, change)
    for (const listener of this.#listeners) listener(change)
  }

  /** Everything, as one update for a mesh that is empty. */
  snapshot(): MeshUpdate {
    const upserts: MeshResource[] = []
    for (const value of this.#workloads.all()) upserts.push({ kind: 'workload', value })
    for (const value of this.#services.all()) upserts.push({ kind: 'service', value })
    for (const value of this.#policies.values()) upserts.push({ kind: 'policy', value })
    return { upserts, removals: [] }
  }

  /** Calls `listener` after every update; returns how to stop that. */
  onChange(listener: (change: MeshChange) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Every workload. */
  workloads(): IterableIterator<Workload> {
    return this.#workloads.all()
  }

  workload(uid: string): Workload | undefined {
    return this.#workloads.get(uid)
  }

  workloadByAddress(network: string, address: string): Workload | undefined {
    return this.#workloads.byAddress(network, address)
  }

  workloadByHostname(namespace: string, hostname: string): Workload | undefined {
    return this.#workloads.byHostname(namespace, hostname)
  }

  /** A workload on this node by exactly its name, namespace and service account. */
  localWorkload(namespace: string, name: string, serviceAccount: string): Workload | undefined {
    return this.#workloads.local(namespace, name, serviceAccount)
  }

  service(namespace: string, hostname: string): Service | undefined {
    return this.#services.get(`${namespace}/${hostname}`)
  }

  serviceByVip(network: string, address: string, clientNamespace?: string): Service | undefined {
    return this.#services.byVip(network, address, clientNamespace)
  }

  serviceByHostname(hostname: string, clientNamespace?: string): Service | undefined {
    return this.#services.byHostname(hostname, clientNamespace)
  }

  /** The services that a workload is an endpoint of. */
  servicesOf(workload: Workload): readonly Service[] {
    return Object.keys(workload.services).flatMap((key) => this.#services.get(key) ?? [])
  }

  endpoint(service: Service, workloadUid: string): Endpoint | undefined {
    return this.#endpoints.get(serviceKey(service))?.get(workloadUid)
  }

  /** The endpoints that may be chosen: their workload is known, and healthy unless the service allows all. */
  endpointsOf(service: Service): readonly ServiceEndpoint[] {
    const key = serviceKey(service)
    const known = this.#eligible.get(key)
    if (known) return known
    const eligible: ServiceEndpoint[] = []
    const allowAll = service.loadBalancer?.healthPolicy === 'AllowAll'
    for (const endpoint of this.#endpoints.get(key)?.values() ?? []) {
      const workload = this.#workloads.get(endpoint.workloadUid)
      if (workload && (allowAll || endpoint.status === 'Healthy')) eligible.push({ endpoint, workload })
    }
    this.#eligible.set(key, eligible)
    return eligible
  }

  /** Endpoints of services that are not known (yet), for /config_dump. */
  *stagedEndpoints(): Generator<readonly [key: string, endpoints: ReadonlyMap<string, Endpoint>]> {
    for (const [key, endpoints] of this.#endpoints) if (!this.#services.get(key)) yield [key, endpoints]
  }

  #upsert(resource: MeshResource, change: Mutable<MeshChange>): void {
    switch (resource.kind) {
      case 'workload':
        this.#replaceWorkload(resource.value.uid, resource.value)
        change.workloads.add(resource.value.uid)
        return
      case 'service':
        this.#services.insert(resource.value)
        this.#nameEndpoints(serviceKey(resource.value), Object.values(resource.value.endpoints))
        change.services.add(serviceKey(resource.value))
        return
      case 'policy':
        this.#policies.set(policyKey(resource.value), resource.value)
        change.policies.add(policyKey(resource.value))
        return
    }
  }

  #remove(kind: string, key: string, change: Mutable<MeshChange>): void {
    switch (kind) {
      case 'workload':
        this.#replaceWorkload(key, undefined)
        change.workloads.add(key)
        return
      case 'service':
        this.#services.remove(key)
        this.#nameEndpoints(key, [])
        change.services.add(key)
        return
      case 'policy':
        this.#policies.delete(key)
        change.policies.add(key)
    }
  }

  #replaceWorkload(uid: string, workload: Workload | undefined): void {
    const before = this.#workloads.get(uid)
    if (workload) this.#workloads.insert(workload)
    else this.#workloads.remove(uid)
    const concerned = new Set([
      ...Object.keys(before?.services ?? {}),
      ...Object.keys(workload?.services ?? {}),
      ...(this.#namedBy.get(uid) ?? []),
    ])
    for (const key of concerned) this.#settleEndpoint(key, uid)
  }

  /** Takes over the endpoints that a service's record names, instead of those that it named before. */
  #nameEndpoints(key: string, endpoints: readonly Endpoint[]): void {
    const before = this.#named.get(key)
    const named = new Map(endpoints.map((endpoint) => [endpoint.workloadUid, endpoint]))
    if (named.size === 0) this.#named.delete(key)
    else this.#named.set(key, named)
    for (const uid of before?.keys() ?? []) {
      const naming = this.#namedBy.get(uid)
      if (naming?.delete(key) && naming.size === 0) this.#namedBy.delete(uid)
    }
    for (const uid of named.keys()) this.#namedBy.set(uid, (this.#namedBy.get(uid) ?? new Set()).add(key))
    for (const uid of new Set([...(before?.keys() ?? []), ...named.keys()])) this.#settleEndpoint(key, uid)
    this.#eligible.delete(key)
  }

  /** The endpoint of a service at a workload: as the workload says, else as the service's record does, else none. */
  #settleEndpoint(key: string, uid: string): void {
    const workload = this.#workloads.get(uid)
    const port = workload?.services[key]
    const endpoint =
      workload && port ? { workloadUid: uid, port, status: workload.status } : this.#named.get(key)?.get(uid)
    const endpoints = this.#endpoints.get(key) ?? new Map<string, Endpoint>()
    if (endpoint) this.#endpoints.set(key, endpoints.set(uid, endpoint))
    else if (endpoints.delete(uid) && endpoints.size === 0) this.#endpoints.delete(key)
    this.#eligible.delete(key)
  }
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] extends ReadonlySet<infer Item> ? Set<Item> : T[Key] }
