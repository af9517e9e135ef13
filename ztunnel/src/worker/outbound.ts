import { messageOf } from '@ambit/shared/errors'
import type { Splice, TcpEnd } from '@ambit/shared/io'
import { familyOf, formatSocketAddress, isLoopback, type SocketAddress } from '@ambit/shared/ip'
import type { Workload } from '@ambit/shared/mesh'
import type { ConnectionInfo, OpenConnection } from '@ambit/shared/telemetry'
import { originalDestination } from '../linux/index.ts'
import { isProxyPort } from '../proxy-ports.ts'
import { routeOutbound, type CarriableRoute, type OutboundRequest, type UnresolvedRoute } from '../routing/index.ts'
import { CarriedConnection } from './carried-connection.ts'
import { ConnectionFailure } from './connection-failure.ts'
import { dialFromPod } from './dial.ts'
import { EndpointSearch } from './endpoint-search.ts'
import { openTunnel } from './open-tunnel.ts'
import { failureOfTunnel, mayTryAnother, wasLost } from './outbound-failure.ts'
import { PendingConnection } from './pending-connection.ts'
import type { PodProxy } from './pod-proxy.ts'
import { resolveRoute } from './resolve-route.ts'

/**
 * The life of a connection that an application of the pod opened, redirected to 15001: where was it going, who serves
 * that, reach it (over HBONE, or plainly outside the mesh), carry. Never rejects. An HBONE destination is never dialled
 * in plaintext.
 */
export async function serveOutbound(proxy: PodProxy, end: TcpEnd): Promise<void> {
  const { recorder } = proxy.context
  const source = end.remote
  let target: SocketAddress | undefined
  recorder.socketOpened('source')
  try {
    // Where was it going, and who are we.
    const wanted = originalDestination(end.fd, familyOf(source.address) ?? 4)
    target = wanted
    if (isProxyPort(wanted.port) && isOurself(wanted, end)) throw new Error('attempted recursive call to ourselves')
    const found = proxy.localWorkload()
    const local = found instanceof Promise ? await found : found
    // Who serves that, and where that is.
    const search = new EndpointSearch(proxy.context, request(proxy, local, source, wanted))
    const chosen = chooseRoute(proxy, search.asked)
    const route = chosen.kind === 'unresolved' ? await locate(proxy, end, search, chosen) : chosen
    const record = recorder.opened(describe(local, proxy, source, route))
    const connection = new CarriedConnection(proxy.connections, record, {
      direction: 'outbound',
      summarise: () => ({
        src: formatSocketAddress(source),
        originalDst: formatSocketAddress(wanted),
        actualDst: formatSocketAddress(route.dial),
        protocol: route.kind === 'hbone' ? 'HBONE' : 'TCP',
      }),
      facts: undefined,
    })
    try {
      // Reach it and carry.
      const upstream = await reach(proxy, { search, end, record, connection }, route)
      await connection.carry(upstream)
      connection.end()
    } catch (error) {
      end.destroy(true)
      connection.end(error)
    }
  } catch (error) {
    const dst = target ?? end.local
    end.destroy(true)
    recorder.denied({ direction: 'outbound', src: source, dst, error: messageOf(error) })
  } finally {
    recorder.socketClosed('source')
  }
}

/**
 * True where carrying it would bring it back here without end. Loopback is ours; an address where the connection was accepted
 * as it came was never redirected, so somebody dialled the listener itself, by whatever address the pod has.
 */
function isOurself({ address, port }: SocketAddress, { local }: TcpEnd): boolean {
  return isLoopback(address) || (address === local.address && port === local.port)
}

/** The way to an endpoint that has only a name, before the connection counts as opened; see resolveRoute. */
async function locate(
  proxy: PodProxy,
  client: TcpEnd,
  search: EndpointSearch,
  chosen: UnresolvedRoute,
): Promise<CarriableRoute> {
  const { waitingClients } = proxy.context
  const connection = new PendingConnection(() => ({
    src: formatSocketAddress(client.remote),
    originalDst: formatSocketAddress(search.asked.destination),
    actualDst: chosen.workload.hostname,
    protocol: chosen.becomes === 'hbone' ? 'HBONE' : 'TCP',
  }))
  proxy.connections.add(connection)
  const waiting = waitingClients.add(client, connection)
  try {
    return await resolveRoute(proxy, search, chosen, connection.signal)
  } finally {
    waitingClients.remove(waiting)
    proxy.connections.remove(connection)
  }
}

interface Attempt {
  readonly search: EndpointSearch
  readonly end: TcpEnd
  readonly record: OpenConnection
  readonly connection: CarriedConnection
}

/**
 * Opens the way to the destination; where an endpoint cannot be had and the service has others, the next is tried. Where there
 * is no other, but the tunnel connection was lost before it answered, the same is tried once more: so a connection survives
 * that the worker at the other end was killed and replaced. No byte of the application was sent to either.
 */
async function reach(proxy: PodProxy, attempt: Attempt, first: CarriableRoute): Promise<Splice> {
  const { waitingClients } = proxy.context
  const { search, end, record, connection } = attempt
  const waiting = waitingClients.add(end, connection)
  try {
    for (let route = first; ;) {
      try {
        return await open(proxy, attempt, route)
      } catch (error) {
        const failure = failureOf(route, error)
        if (connection.signal.aborted || !mayTryAnother(error)) throw failure
        const next = search.next(route, failure, wasLost(error))
        if (next === undefined) throw failure
        if (next === route) continue
        route = await resolveRoute(proxy, search, next, connection.signal)
        record.redirect(describe(search.asked.source, proxy, end.remote, route))
      }
    }
  } finally {
    waitingClients.remove(waiting)
  }
}

async function open(proxy: PodProxy, { search, end, connection }: Attempt, route: CarriableRoute): Promise<Splice> {
  const { signal } = connection
  if (route.kind === 'hbone') {
    const tunnel = await openTunnel(proxy, { local: search.asked.source, source: end.remote, signal }, route)
    return tunnel.splice(end)
  }
  return proxy.context.io.splice(end, await dialFromPod(proxy, route.dial, { signal }))
}

function failureOf(route: CarriableRoute, error: unknown): ConnectionFailure {
  if (route.kind === 'hbone') return failureOfTunnel(error)
  return new ConnectionFailure('CONNECT', `connection failed: ${messageOf(error)}`, {
    source: 'upstream',
    cause: error,
  })
}

function chooseRoute(proxy: PodProxy, asked: OutboundRequest): CarriableRoute | UnresolvedRoute {
  const route = routeOutbound(proxy.context.mesh, asked)
  if (route.kind === 'refuse') throw new Error(route.message)
  return route
}

function request(proxy: PodProxy, local: Workload, source: SocketAddress, destination: SocketAddress): OutboundRequest {
  const { config, random } = proxy.context
  const { network, trustDomain } = config
  return { source: local, sourceAddress: source.address, destination, network, trustDomain, random }
}

function describe(local: Workload, proxy: PodProxy, source: SocketAddress, route: CarriableRoute): ConnectionInfo {
  const overHbone = route.kind === 'hbone'
  return {
    direction: 'outbound',
    src: { addr: source, workload: local, identity: overHbone ? proxy.identity(local) : undefined },
    dst: {
      addr: route.dial,
      hboneAddr: overHbone ? route.authority : undefined,
      workload: route.workload,
      service: route.service,
    },
    mutualTls: overHbone,
  }
}
