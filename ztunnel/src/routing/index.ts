export { guessService } from './guess-service.ts'
export { resolveInbound, type InboundRefusal, type InboundRequest, type InboundTarget } from './resolve-inbound.ts'
export { routeAgain } from './route-again.ts'
export {
  routeOutbound,
  type CarriableRoute,
  type OutboundRequest,
  type OutboundRoute,
  type UnresolvedRoute,
} from './route-outbound.ts'
