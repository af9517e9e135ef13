import type { CancelSignal } from '@ambit/shared/cancellation'
import { DnsError, pickAddress } from '@ambit/shared/dns'
import { formatSocketAddress } from '@ambit/shared/io'
import { routeAgain, type CarriableRoute, type OutboundRequest, type UnresolvedRoute } from '../routing/index.ts'
import { ConnectionFailure } from './connection-failure.ts'
import type { PodProxy } from './pod-proxy.ts'

/** Endpoints of a service tried for one connection before it fails. Nothing was exchanged yet, so a retry is safe. */
export const MAX_ATTEMPTS = 3

/** The connection for which names are resolved. */
export interface Waiting {
  readonly asked: OutboundRequest
  /** Uids of endpoints that are out of question; those whose names have no address are added. */
  readonly tried: Set<string>
  /** Ends the wait. */
  readonly signal: CancelSignal
}

/**
 * Finds the address of an endpoint that has only a hostname. Where the name has none and the service has other endpoints, the
 * next is tried. Throws ConnectionFailure, in the words of Istio's ztunnel with the reason behind them, or the reason for which
 * the connection was closed.
 */
export async function resolveRoute(proxy: PodProxy, waiting: Waiting, first: UnresolvedRoute): Promise<CarriableRoute> {
  const { mesh, names, recorder, random, log } = proxy.context
  const { asked, tried, signal } = waiting
  for (let route = first; ;) {
    const { hostname, uid } = route.workload
    try {
      recorder.nameUsed(asked.source, proxy.identity(asked.source), hostname)
      const known = names.resolve(hostname, signal)
      const addresses = known instanceof Promise ? await known : known
      return route.at(pickAddress(addresses, route.family, random))
    } catch (error) {
      if (!(error instanceof DnsError)) throw error
      const failure = new ConnectionFailure(
        'CONNECT',
        `no ip addresses were resolved for workload: ${uid} (${hostname}: ${error.message})`,
        { source: error.source, cause: error },
      )
      const next = tried.size + 1 < MAX_ATTEMPTS ? routeAgain(mesh, asked, route, tried) : undefined
      if (!next) throw failure
      log.warn('endpoint not reached, trying another', {
        'dst.addr': hostname,
        next: next.kind === 'unresolved' ? next.workload.hostname : formatSocketAddress(next.dial),
        error: failure.message,
      })
      if (next.kind !== 'unresolved') return next
      route = next
    }
  }
}
