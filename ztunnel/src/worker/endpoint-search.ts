import { formatSocketAddress } from '@ambit/shared/ip'
import { routeAgain, type CarriableRoute, type OutboundRequest, type UnresolvedRoute } from '../routing/index.ts'
import type { ConnectionFailure } from './connection-failure.ts'
import type { WorkerContext } from './worker-context.ts'

/** Endpoints of a service tried for one connection before it fails. Nothing was exchanged yet, so a retry is safe. */
const MAX_ATTEMPTS = 3

/** Which endpoint is next for one connection: what was tried already, and how often. */
export class EndpointSearch {
  readonly asked: OutboundRequest
  readonly #context: WorkerContext
  /** Uids of endpoints that are out of question. */
  readonly #tried = new Set<string>()
  #failures = 0
  #hasComeBack = false

  constructor(context: WorkerContext, asked: OutboundRequest) {
    this.#context = context
    this.asked = asked
  }

  /**
   * What to try after `failed`, which is logged: another endpoint of the service or, once where `mayComeBack`, the same again.
   * Undefined where there is none, or enough were tried.
   */
  next(
    failed: CarriableRoute | UnresolvedRoute,
    why: ConnectionFailure,
    mayComeBack = false,
  ): CarriableRoute | UnresolvedRoute | undefined {
    const { mesh, log } = this.#context
    if (++this.#failures >= MAX_ATTEMPTS) return undefined
    const another = routeAgain(mesh, this.asked, failed, this.#tried)
    const next = another ?? (mayComeBack && !this.#hasComeBack ? failed : undefined)
    if (next === undefined) return undefined
    this.#hasComeBack = next === failed
    log.warn(this.#hasComeBack ? 'tunnel lost, trying again' : 'endpoint not reached, trying another', {
      'dst.addr': placeOf(failed),
      next: placeOf(next),
      error: why.message,
    })
    return next
  }
}

function placeOf(route: CarriableRoute | UnresolvedRoute): string {
  return route.kind === 'unresolved' ? route.workload.hostname : formatSocketAddress(route.dial)
}
