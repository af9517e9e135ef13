import type { GatewayAddress } from './gateway.ts'

/** Ports by service port; a number that is 0 in a Service means a named port. JSON keys are text, so keys are text here. */
export type PortMap = Readonly<Record<string, number>>

/** An endpoint that is not healthy gets no connection, unless its service allows all (istio.workload WorkloadStatus). */
export type Health = 'Healthy' | 'Unhealthy'

/** One pod or other destination (istio.workload Workload), as plain data with Istio's defaults filled in. Addresses are canonical. */
export interface Workload {
  /** Primary key. */
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
  /** Empty in a local file that does not say: the node's trust domain then. */
  readonly trustDomain: string
  readonly workloadIps: readonly string[]
  readonly protocol: 'TCP' | 'HBONE'
  /** HostNetwork workloads share their address with the node: they are not found by address. */
  readonly networkMode: 'Standard' | 'HostNetwork'
  readonly network: string
  readonly node: string
  /** Resolved by DNS for each connection where there are no addresses; absolute. Empty: it has none. */
  readonly hostname: string
  readonly status: Health
  readonly clusterId: string
  readonly workloadName: string
  readonly workloadType: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly nativeTunnel: boolean
  readonly locality: { readonly region: string; readonly zone: string; readonly subzone: string }
  /** Weight among the endpoints of a service; 0 is never chosen. */
  readonly capacity: number
  /** `namespace/name` of the policies that select this workload. */
  readonly authorizationPolicies: readonly string[]
  readonly applicationTunnel: { readonly protocol: 'NONE' | 'PROXY'; readonly port: number | undefined } | undefined
  readonly waypoint: GatewayAddress | undefined
  readonly networkGateway: GatewayAddress | undefined
  /** The services that it is an endpoint of: `namespace/hostname` → its own target ports. */
  readonly services: Readonly<Record<string, PortMap>>
}

/** The trust domain of a workload: where its record names none, or the mesh has no record of it, that of the node. */
export function trustDomainOf(workload: Workload | undefined, ofNode: string): string {
  return workload?.trustDomain || ofNode
}
