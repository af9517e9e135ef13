import type { Mesh, ServiceEndpoint } from './mesh.ts'
import type { RoutingScope, Service } from './service.ts'
import type { Workload } from './workload.ts'

/** Who wants an endpoint of a service, and for what. */
export interface ChoiceRequest {
  /** Who asks: locality and network are compared with its. */
  readonly source: Workload
  readonly servicePort: number
  /** `waypoint`: the service is a waypoint or gateway and reached on its HBONE port. */
  readonly purpose: 'standard' | 'waypoint'
  /** From 0 up to 1. */
  readonly random: () => number
  /** Uids of workloads that were tried already. */
  readonly exclude?: ReadonlySet<string> | undefined
}

/** The endpoint that was chosen, and the port that it serves. */
export interface Choice {
  readonly workload: Workload
  readonly targetPort: number
}

/**
 * One endpoint of a service for a new connection: those that can serve the port, of these the best by locality, of these one
 * at random by capacity. undefined where there is none. Source: Istio ztunnel's load balancing. One of another network only
 * where our own has none: it is for the caller to refuse, for nothing is carried there.
 */
export function chooseEndpoint(mesh: Mesh, service: Service, request: ChoiceRequest): Choice | undefined {
  const { servicePort, exclude } = request
  const usable: Usable[] = []
  const elsewhere: Usable[] = []
  for (const candidate of mesh.endpointsOf(service)) {
    if (exclude?.has(candidate.workload.uid) || !isReachable(candidate.workload, request.source)) continue
    if (!takesPort(service, candidate, request)) continue
    // Istio's ztunnel may still choose an endpoint that has no port to dial, and then fails the connection.
    const port = targetPort(service, candidate, servicePort)
    if (port === undefined) continue
    const isOurs = candidate.workload.network === request.source.network
    ;(isOurs ? usable : elsewhere).push({ ...candidate, port })
  }
  const candidates = usable.length > 0 ? usable : elsewhere
  const chosen = byCapacity(preferred(candidates, service, request.source), request.random)
  return chosen && { workload: chosen.workload, targetPort: chosen.port }
}

interface Usable extends ServiceEndpoint {
  readonly port: number
}

/**
 * Whether an endpoint counts for the service port. A service must have the port, and where it is a named one (0) the endpoint
 * must map it. Of a waypoint the service must have it, mapped or not, or the workload an app tunnel, which takes any port.
 */
function takesPort(
  { ports }: Service,
  { endpoint, workload }: ServiceEndpoint,
  { servicePort, purpose }: ChoiceRequest,
): boolean {
  const shared = ports[servicePort]
  if (purpose === 'waypoint') return shared !== undefined || workload.applicationTunnel !== undefined
  return shared !== undefined && (shared !== 0 || endpoint.port[servicePort] !== undefined)
}

/** The port to dial at an endpoint: its own mapping, else the service's, else the service port where an app tunnel takes it. */
export function targetPort(
  service: Service,
  { endpoint, workload }: ServiceEndpoint,
  servicePort: number,
): number | undefined {
  const own = endpoint.port[servicePort]
  if (own !== undefined) return own
  const shared = service.ports[servicePort]
  if (shared !== undefined && shared > 0) return shared
  return workload.applicationTunnel?.port === undefined ? undefined : servicePort
}

/** Without address and hostname a workload is reached through the gateway of another network only. */
function isReachable({ workloadIps, hostname, networkGateway, network }: Workload, source: Workload): boolean {
  return workloadIps.length > 0 || hostname !== '' || (networkGateway !== undefined && network !== source.network)
}

function preferred<Candidate extends ServiceEndpoint>(
  candidates: readonly Candidate[],
  { loadBalancer }: Service,
  source: Workload,
): readonly Candidate[] {
  if (!loadBalancer || (loadBalancer.mode !== 'Strict' && loadBalancer.mode !== 'Failover')) return candidates
  const { routingPreferences, mode } = loadBalancer
  let highest = -1
  let kept: Candidate[] = []
  for (const candidate of candidates) {
    const { matches, rank } = rankOf(candidate.workload, source, routingPreferences)
    if (mode === 'Strict' && matches !== routingPreferences.length) continue
    if (rank > highest) {
      highest = rank
      kept = []
    }
    if (rank === highest) kept.push(candidate)
  }
  return kept
}

/**
 * How many preferences match before the first that does not. Where NETWORK comes first, a mismatch there does not end the
 * walk and a match outranks everything else (Istio's rule, so that remote endpoints are still ordered by locality).
 */
function rankOf(
  workload: Workload,
  source: Workload,
  preferences: readonly RoutingScope[],
): { matches: number; rank: number } {
  let matches = 0
  let bonus = 0
  for (const [index, scope] of preferences.entries()) {
    const same = attribute(workload, scope) === attribute(source, scope)
    const leadingNetwork = index === 0 && scope === 'Network'
    if (same) {
      matches++
      if (leadingNetwork) bonus = preferences.length - 1
    } else if (!leadingNetwork) break
  }
  return { matches, rank: matches + bonus }
}

function attribute({ locality, node, clusterId, network }: Workload, scope: RoutingScope): string {
  switch (scope) {
    case 'Region':
      return locality.region
    case 'Zone':
      return locality.zone
    case 'Subzone':
      return locality.subzone
    case 'Node':
      return node
    case 'Cluster':
      return clusterId
    case 'Network':
      return network
  }
}

function byCapacity<Candidate extends ServiceEndpoint>(
  candidates: readonly Candidate[],
  random: () => number,
): Candidate | undefined {
  let total = 0
  for (const { workload } of candidates) total += workload.capacity
  let point = random() * total
  for (const candidate of candidates) {
    point -= candidate.workload.capacity
    if (point < 0) return candidate
  }
  return undefined
}
