import type { CancelSignal } from '@ambit/shared/cancellation'
import { DnsError, pickAddress } from '@ambit/shared/dns'
import type { CarriableRoute, UnresolvedRoute } from '../routing/index.ts'
import { ConnectionFailure } from './connection-failure.ts'
import type { EndpointSearch } from './endpoint-search.ts'
import type { PodProxy } from './pod-proxy.ts'

/**
 * Finds the address of an endpoint that has only a hostname. Where the name has none and the service has other endpoints, the
 * next is tried. Throws ConnectionFailure, in the words of Istio's ztunnel with the reason behind them, or the reason of `signal`,
 * which ends the wait.
 */
export async function resolveRoute(
  proxy: PodProxy,
  search: EndpointSearch,
  first: CarriableRoute | UnresolvedRoute,
  signal: CancelSignal,
): Promise<CarriableRoute> {
  const { names, recorder, random } = proxy.context
  const { source } = search.asked
  let route = first
  while (route.kind === 'unresolved') {
    const { hostname, uid } = route.workload
    try {
      recorder.nameUsed(source, proxy.identity(source), hostname)
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
      const next = search.next(route, failure)
      if (next === undefined) throw failure
      route = next
    }
  }
  return route
}
