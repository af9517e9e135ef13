import { IdentityError, SpiffeId } from '@ambit/shared/identity'
import { familyOf, formatSocketAddress, type Family, type SocketAddress } from '@ambit/shared/ip'
import {
  chooseAddress,
  chooseEndpoint,
  formatGateway,
  trustDomainOf,
  type GatewayAddress,
  type Mesh,
  type Service,
  type Workload,
} from '@ambit/shared/mesh'
import { PROXY_PORTS } from '../proxy-ports.ts'
import { isBehind, resolveWaypoint, waypointOf, type ResolvedWaypoint } from './waypoint.ts'

/** One connection of a pod, as it was taken. */
export interface OutboundRequest {
  /** The pod that opened the connection, and the address that it came from. */
  readonly source: Workload
  readonly sourceAddress: string
  /** Where it was going. */
  readonly destination: SocketAddress
  /** The network of this node. */
  readonly network: string
  /** Of workloads whose record names none. */
  readonly trustDomain: string
  /** From 0 up to 1. */
  readonly random: () => number
  /** Uids of workloads that were tried already. */
  readonly exclude?: ReadonlySet<string>
}

/** How an outbound connection can be carried. `workload` and `service` are who is behind it, for policy-free telemetry. */
export type CarriableRoute =
  | {
      readonly kind: 'hbone'
      readonly dial: SocketAddress
      readonly authority: string
      /** Who may answer. */
      readonly identities: readonly SpiffeId[]
      readonly workload: Workload
      readonly service: Service | undefined
    }
  | {
      readonly kind: 'tcp'
      readonly dial: SocketAddress
      readonly workload: Workload
      readonly service: Service | undefined
    }
  | {
      readonly kind: 'passthrough'
      readonly dial: SocketAddress
      readonly workload: undefined
      readonly service: undefined
    }

/** The endpoint has no address but a hostname: once that is resolved, `at` tells how the connection is carried. */
export interface UnresolvedRoute {
  readonly kind: 'unresolved'
  /** Whose hostname it is. */
  readonly workload: Workload
  /** An address of this family is wanted, before others. */
  readonly family: Family
  /** The kind of route that `at` gives. */
  readonly becomes: 'hbone' | 'tcp'
  readonly at: (address: string) => CarriableRoute
}

/** The answer of `routeOutbound`; the message of a refusal is for the access log. */
export type OutboundRoute = CarriableRoute | UnresolvedRoute | { readonly kind: 'refuse'; readonly message: string }

/**
 * Decides about one outbound connection; asks nobody and changes nothing. Source: Istio ztunnel's decision table for
 * outbound requests. A service whose waypoint cannot be reached is refused, never bypassed.
 */
export function routeOutbound(mesh: Mesh, request: OutboundRequest): OutboundRoute {
  const { source, destination, network } = request
  const addressed = mesh.workloadByAddress(network, destination.address)
  // It has no stand-in, and without this it would be taken for an address that nobody knows and be dialled in plaintext.
  if (addressed && request.exclude?.has(addressed.uid)) {
    return { kind: 'refuse', message: `no healthy upstream: ${formatSocketAddress(destination)}` }
  }
  const service = addressed ? undefined : mesh.serviceByVip(network, destination.address, source.namespace)
  // A service with a waypoint: everything goes there, with the original destination as authority.
  const serviceWaypoint = service && waypointOf(service, request.random)
  if (service && serviceWaypoint) return throughWaypoint(mesh, serviceWaypoint, service, request)
  // Who serves the address: a service comes first here, then a workload.
  const upstream = resolveUpstream(mesh, request)
  if (!upstream) {
    if (service && service.loadBalancer?.mode !== 'Passthrough') {
      return { kind: 'refuse', message: `no healthy upstream: ${formatSocketAddress(destination)}` }
    }
    return { kind: 'passthrough', dial: destination, workload: undefined, service: undefined }
  }
  const { workload } = upstream
  if (workload.network !== source.network) return otherNetwork(workload)
  // Addressed as a workload that has a waypoint, and the source is not that waypoint itself.
  if (!service && workload.waypoint && !isFromWaypoint(mesh, workload.waypoint, request)) {
    return throughWaypoint(mesh, workload.waypoint, undefined, request)
  }
  const address = chooseAddress(workload, destination.address, upstream.service?.ipFamilies)
  if (address !== undefined) return directly(upstream, address, request)
  return workload.hostname === '' ? noAddress(workload) : byName(upstream, request)
}

/** A function of its own: V8 allocates what a closure keeps whenever the function around it is called. */
function byName(upstream: Upstream, request: OutboundRequest): UnresolvedRoute {
  return {
    kind: 'unresolved',
    workload: upstream.workload,
    family: familyOf(request.destination.address) ?? 4,
    becomes: upstream.workload.protocol === 'TCP' ? 'tcp' : 'hbone',
    at: (address) => directly(upstream, address, request),
  }
}

function directly({ workload, port, service }: Upstream, address: string, request: OutboundRequest): CarriableRoute {
  if (workload.protocol === 'TCP') return { kind: 'tcp', dial: { address, port }, workload, service }
  return {
    kind: 'hbone',
    dial: { address, port: PROXY_PORTS.inbound },
    authority: formatSocketAddress({ address, port }),
    identities: identitiesOf(workload, service, request.trustDomain),
    workload,
    service,
  }
}

interface Upstream {
  readonly workload: Workload
  readonly port: number
  readonly service: Service | undefined
}

function resolveUpstream(mesh: Mesh, { source, destination, random, exclude }: OutboundRequest): Upstream | undefined {
  const service = mesh.serviceByVip(source.network, destination.address, source.namespace)
  if (service) {
    if (service.loadBalancer?.mode === 'Passthrough') return undefined
    const choice = chooseEndpoint(mesh, service, {
      source,
      servicePort: destination.port,
      purpose: 'standard',
      random,
      exclude,
    })
    return choice && { workload: choice.workload, port: choice.targetPort, service }
  }
  const workload = mesh.workloadByAddress(source.network, destination.address)
  return workload && { workload, port: destination.port, service: undefined }
}

function throughWaypoint(
  mesh: Mesh,
  reference: GatewayAddress,
  service: Service | undefined,
  request: OutboundRequest,
): OutboundRoute {
  const { source, destination, random, exclude } = request
  const waypoint = resolveWaypoint(mesh, reference, { source, random, target: destination.address, exclude })
  if (!waypoint) return { kind: 'refuse', message: `unknown waypoint: ${formatGateway(reference)}` }
  if (waypoint.workload.network !== source.network) return otherNetwork(waypoint.workload)
  if (waypoint.address !== undefined) return throughIt(waypoint, waypoint.address, service, request)
  return throughItByName(waypoint, service, request)
}

function throughItByName(
  waypoint: ResolvedWaypoint,
  service: Service | undefined,
  request: OutboundRequest,
): UnresolvedRoute {
  return {
    kind: 'unresolved',
    workload: waypoint.workload,
    family: familyOf(waypoint.target) ?? 4,
    becomes: 'hbone',
    at: (address) => throughIt(waypoint, address, service, request),
  }
}

function throughIt(
  waypoint: ResolvedWaypoint,
  address: string,
  service: Service | undefined,
  { destination, trustDomain }: OutboundRequest,
): CarriableRoute {
  return {
    kind: 'hbone',
    dial: { address, port: waypoint.port },
    authority: formatSocketAddress(destination),
    identities: identitiesOf(waypoint.workload, waypoint.service, trustDomain),
    workload: waypoint.workload,
    service,
  }
}

/** True when the connection comes from the destination's waypoint: by identity and by address. */
function isFromWaypoint(mesh: Mesh, reference: GatewayAddress, { source, sourceAddress }: OutboundRequest): boolean {
  return isBehind(mesh, reference, (workload) => {
    return (
      workload.trustDomain === source.trustDomain &&
      workload.namespace === source.namespace &&
      workload.serviceAccount === source.serviceAccount &&
      workload.workloadIps.includes(sourceAddress)
    )
  })
}

interface Known {
  readonly service: Service | undefined
  readonly trustDomain: string
  readonly identities: readonly SpiffeId[]
}

/** Of each workload what was asked for last: records are immutable, and the next connection to it asks the same. */
const askedLast = new WeakMap<Workload, Known>()

function identitiesOf(workload: Workload, service: Service | undefined, trustDomain: string): readonly SpiffeId[] {
  const before = askedLast.get(workload)
  if (before?.service === service && before?.trustDomain === trustDomain) return before.identities
  const identities = readIdentities(workload, service, trustDomain)
  askedLast.set(workload, { service, trustDomain, identities })
  return identities
}

/** The workload's own identity and what the service vouches for; a name there that is no SPIFFE id is left out. */
function readIdentities(workload: Workload, service: Service | undefined, trustDomain: string): readonly SpiffeId[] {
  const identities = [SpiffeId.of(trustDomainOf(workload, trustDomain), workload.namespace, workload.serviceAccount)]
  for (const name of service?.subjectAltNames ?? []) {
    try {
      identities.push(SpiffeId.parse(name))
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error
    }
  }
  return identities
}

function otherNetwork({ uid, network }: Workload): OutboundRoute {
  return {
    kind: 'refuse',
    message: `no valid routing destination: workload ${uid} is on network "${network}", and traffic to another network is not carried`,
  }
}

function noAddress({ uid }: Workload): OutboundRoute {
  return { kind: 'refuse', message: `no valid destination for workload: ${uid} has no address of the wanted family` }
}
