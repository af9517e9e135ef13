import type { Mesh } from '@ambit/shared/mesh'
import { routeOutbound, type CarriableRoute, type OutboundRequest, type UnresolvedRoute } from './route-outbound.ts'

/**
 * The next endpoint for a connection whose endpoint `failed` could not be had; `tried` are the uids of those that are out of
 * question, to which it adds. What was to go over HBONE is never carried in plaintext instead: not to an endpoint outside the
 * mesh, and not to an address whose workload has left the mesh meanwhile. Undefined where there is none.
 */
export function routeAgain(
  mesh: Mesh,
  request: OutboundRequest,
  failed: CarriableRoute | UnresolvedRoute,
  tried: Set<string>,
): CarriableRoute | UnresolvedRoute | undefined {
  for (let last = failed; last.workload !== undefined && !tried.has(last.workload.uid);) {
    tried.add(last.workload.uid)
    const next = routeOutbound(mesh, { ...request, exclude: tried })
    if (next.kind === 'refuse') return undefined
    if (kindOf(failed) !== 'hbone' || kindOf(next) === 'hbone') return next
    last = next
  }
  return undefined
}

function kindOf(route: CarriableRoute | UnresolvedRoute): CarriableRoute['kind'] {
  return route.kind === 'unresolved' ? route.becomes : route.kind
}
