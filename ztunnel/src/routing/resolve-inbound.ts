import { familyOf, type SocketAddress } from '@ambit/shared/ip'
import { targetPort, type Mesh, type Service, type Workload } from '@ambit/shared/mesh'
import type { Authority } from '../connect-headers/index.ts'
import { guessService } from './guess-service.ts'
import { isProxyPort } from '../proxy-ports.ts'
import { isBehind } from './waypoint.ts'

/** One CONNECT that came to a pod. */
export interface InboundRequest {
  /** The pod whose listener accepted. */
  readonly local: Workload
  /** The address that the tunnel was opened to: podIP:15008. */
  readonly connection: SocketAddress
  readonly authority: Authority
  readonly network: string
  /** host= of the `forwarded` header. */
  readonly forwardedHost: string | undefined
  /** Reach an app tunnel that speaks the PROXY protocol over loopback. */
  readonly localhostAppTunnel: boolean
}

/** The application that a CONNECT is for. */
export interface InboundTarget {
  readonly kind: 'target'
  /** What policy and telemetry see: the pod's address and the application's port. */
  readonly upstream: SocketAddress
  /** What is dialled. */
  readonly dial: SocketAddress
  /** The original target, told to the application in a PROXY header; undefined: no header. */
  readonly proxyTarget: SocketAddress | undefined
  readonly service: Service | undefined
  readonly forwardedHost: string | undefined
}

/** Why a CONNECT is for nobody here; the message is for the access log. */
export interface InboundRefusal {
  readonly kind: 'refuse'
  readonly status: 400 | 503
  readonly message: string
}

/**
 * Which application a CONNECT is for, in Istio's order of checks: is the destination this pod (or something that it is the
 * waypoint of), which port, is that not the proxy itself, does an app tunnel take it.
 */
export function resolveInbound(mesh: Mesh, request: InboundRequest): InboundTarget | InboundRefusal {
  const { local, connection, authority } = request
  if (!isForUs(mesh, request)) {
    const asked = authority.kind === 'address' ? authority.address : authority.hostname
    return { kind: 'refuse', status: 400, message: `ip mismatch: ${connection.address} != ${asked}` }
  }
  const found =
    authority.kind === 'address'
      ? { port: authority.port, services: mesh.servicesOf(local) }
      : byHostname(mesh, authority, local)
  if ('kind' in found) return found
  if (isProxyPort(found.port)) return refuse(503, 'attempted recursive call to ourselves')
  const tunnel = local.applicationTunnel
  const proxyTarget = tunnel && originalTarget(authority, found.services, request.network)
  if (tunnel && !proxyTarget)
    return refuse(
      503,
      `requested service ${authority.kind === 'hostname' ? authority.hostname : authority.address} found, but has no IP addresses`,
    )
  const upstream = { address: connection.address, port: tunnel?.port ?? found.port }
  const speaksProxy = tunnel?.protocol === 'PROXY'
  return {
    kind: 'target',
    upstream,
    dial:
      speaksProxy && request.localhostAppTunnel
        ? { address: loopbackFor(upstream.address), port: upstream.port }
        : upstream,
    proxyTarget: speaksProxy ? proxyTarget : undefined,
    service: guessService(found.services, mesh, local, upstream.port, request.forwardedHost),
    forwardedHost: request.forwardedHost,
  }
}

function isForUs(mesh: Mesh, { local, connection, authority, network }: InboundRequest): boolean {
  if (authority.kind === 'hostname' || authority.address === connection.address) return true
  if (local.applicationTunnel) return true
  // A waypoint in front of what was asked for: its endpoint by uid, or the workload that owns this address.
  const target = mesh.workloadByAddress(network, authority.address) ?? mesh.serviceByVip(network, authority.address)
  return (
    target?.waypoint !== undefined &&
    isBehind(
      mesh,
      target.waypoint,
      ({ uid, workloadIps }) => uid === local.uid || workloadIps.includes(connection.address),
    )
  )
}

interface Found {
  readonly port: number
  readonly services: readonly Service[]
}

function byHostname(
  mesh: Mesh,
  { hostname, port }: Extract<Authority, { kind: 'hostname' }>,
  local: Workload,
): Found | InboundRefusal {
  const service = mesh.serviceByHostname(hostname, local.namespace)
  if (!service) return refuse(503, `no service or workload for hostname: ${hostname}`)
  const endpoint = mesh.endpoint(service, local.uid) ?? { workloadUid: local.uid, port: {}, status: 'Healthy' }
  const resolved = targetPort(service, { endpoint, workload: { ...local, applicationTunnel: undefined } }, port)
  if (resolved === undefined) return refuse(503, `requested service ${hostname}:${port} found, but cannot resolve port`)
  return { port: resolved, services: [service] }
}

/** What the peer asked for, as an address: of a hostname, the VIP on our network, IPv4 before IPv6 (the last of equals). */
function originalTarget(
  authority: Authority,
  services: readonly Service[],
  network: string,
): SocketAddress | undefined {
  if (authority.kind === 'address') return { address: authority.address, port: authority.port }
  let best: SocketAddress | undefined
  let bestRank = -1
  for (const vip of services[0]?.vips ?? []) {
    const rank = vip.network === network ? (familyOf(vip.address) === 4 ? 2 : 1) : 0
    if (rank >= bestRank) {
      best = { address: vip.address, port: authority.port }
      bestRank = rank
    }
  }
  return best
}

function loopbackFor(address: string): string {
  return familyOf(address) === 6 ? '::1' : '127.0.0.1'
}

function refuse(status: 400 | 503, message: string): InboundRefusal {
  return { kind: 'refuse', status, message }
}
