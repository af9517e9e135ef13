import type { Cidr } from '../ip/index.ts'
import type { GatewayAddress } from './gateway.ts'
import type { Health, PortMap } from './workload.ts'

/** An address in one of the mesh's networks, which may use the same addresses. Canonical. */
export interface NetworkAddress {
  readonly network: string
  readonly address: string
}

/** A range of addresses in one of the mesh's networks. */
export interface NetworkCidr {
  readonly network: string
  readonly cidr: Cidr
}

/** What of an endpoint is compared with who asks (istio.workload LoadBalancing.Scope). */
export type RoutingScope = 'Region' | 'Zone' | 'Subzone' | 'Node' | 'Cluster' | 'Network'

/** How one of the endpoints is chosen (istio.workload LoadBalancing): see `chooseEndpoint`. */
export interface LoadBalancer {
  readonly routingPreferences: readonly RoutingScope[]
  readonly mode: 'Standard' | 'Strict' | 'Failover' | 'Passthrough'
  readonly healthPolicy: 'OnlyHealthy' | 'AllowAll'
}

/** One workload behind a service. */
export interface Endpoint {
  readonly workloadUid: string
  /** Target ports of this endpoint; they win over the service's. */
  readonly port: PortMap
  readonly status: Health
}

/** A name with addresses that stands for workloads (istio.workload Service), as plain data. Addresses are canonical. */
export interface Service {
  readonly name: string
  readonly namespace: string
  readonly hostname: string
  /** None: headless. */
  readonly vips: readonly NetworkAddress[]
  readonly cidrVips: readonly NetworkCidr[]
  /** Service port → target port; 0 is a named port that each endpoint maps itself. */
  readonly ports: PortMap
  /** Endpoints that the resource itself names (local file only); those of workloads are added by the mesh. */
  readonly endpoints: Readonly<Record<string, Endpoint>>
  readonly subjectAltNames: readonly string[]
  readonly waypoint: GatewayAddress | undefined
  readonly weightedWaypoints: readonly { readonly destination: GatewayAddress; readonly weight: number }[]
  readonly loadBalancer: LoadBalancer | undefined
  /** Families that may be dialled; undefined: any. */
  readonly ipFamilies: 'Dual' | 'IPv4' | 'IPv6' | undefined
  /** Preferred where hostname or address clash. */
  readonly canonical: boolean
  readonly visibility: 'Public' | 'Namespace'
}

/** `namespace/hostname`: the primary key of a service. */
export function serviceKey({ namespace, hostname }: Pick<Service, 'namespace' | 'hostname'>): string {
  return `${namespace}/${hostname}`
}
