import {
  chooseAddress,
  chooseEndpoint,
  type GatewayAddress,
  type Mesh,
  type Service,
  type Workload,
} from '@ambit/shared/mesh'

/** A waypoint (or gateway) found: the workload to dial, where, and the service behind which it stands. */
export interface ResolvedWaypoint {
  readonly workload: Workload
  /** undefined: it has only a hostname. */
  readonly address: string | undefined
  /** The address whose family is wanted. */
  readonly target: string
  readonly port: number
  readonly service: Service | undefined
}

export interface WaypointRequest {
  readonly source: Workload
  readonly random: () => number
  /** The original destination: an address of its family is preferred. */
  readonly target: string
  /** Uids of workloads that were tried already. */
  readonly exclude?: ReadonlySet<string> | undefined
}

/** The waypoint of a service: one of the weighted ones by weight, else its own. */
export function waypointOf(service: Service, random: () => number): GatewayAddress | undefined {
  const total = service.weightedWaypoints.reduce((sum, { weight }) => sum + weight, 0)
  let point = random() * total
  for (const { destination, weight } of service.weightedWaypoints) {
    point -= weight
    if (point < 0) return destination
  }
  return service.waypoint
}

/** Finds a waypoint by address or by hostname. undefined where nobody serves it: then the connection must fail, not bypass. */
export function resolveWaypoint(
  mesh: Mesh,
  { destination, hboneMtlsPort }: GatewayAddress,
  request: WaypointRequest,
): ResolvedWaypoint | undefined {
  const { exclude } = request
  if (destination.kind === 'address') {
    const service = mesh.serviceByVip(destination.network, destination.address, request.source.namespace)
    if (service) return behind(mesh, service, hboneMtlsPort, { ...request, target: destination.address })
    const workload = mesh.workloadByAddress(destination.network, destination.address)
    if (!workload || exclude?.has(workload.uid)) return undefined
    return reachable(workload, hboneMtlsPort, destination.address)
  }
  const service = mesh.service(destination.namespace, destination.hostname)
  if (service) return behind(mesh, service, hboneMtlsPort, request)
  const workload = mesh.workloadByHostname(destination.namespace, destination.hostname)
  if (!workload || exclude?.has(workload.uid)) return undefined
  return reachable(workload, hboneMtlsPort, request.target)
}

function behind(
  mesh: Mesh,
  service: Service,
  servicePort: number,
  { source, random, target, exclude }: WaypointRequest,
): ResolvedWaypoint | undefined {
  const choice = chooseEndpoint(mesh, service, { source, servicePort, purpose: 'waypoint', random, exclude })
  return choice && reachable(choice.workload, choice.targetPort, target, service)
}

/** undefined where it has neither an address that the service allows nor a hostname. */
function reachable(workload: Workload, port: number, target: string, service?: Service): ResolvedWaypoint | undefined {
  const address = chooseAddress(workload, target, service?.ipFamilies)
  if (address === undefined && workload.hostname === '') return undefined
  return { workload, address, target, port, service }
}

/** True when `workload` at `address` is what the reference names: itself, or one of the endpoints of the service. */
export function isBehind(mesh: Mesh, { destination }: GatewayAddress, is: (workload: Workload) => boolean): boolean {
  const service =
    destination.kind === 'address'
      ? mesh.serviceByVip(destination.network, destination.address)
      : mesh.service(destination.namespace, destination.hostname)
  if (service) return mesh.endpointsOf(service).some(({ workload }) => is(workload))
  const workload =
    destination.kind === 'address'
      ? mesh.workloadByAddress(destination.network, destination.address)
      : mesh.workloadByHostname(destination.namespace, destination.hostname)
  return workload !== undefined && is(workload)
}
