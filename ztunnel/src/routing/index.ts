export { guessService } from './guess-service.ts'
export { HBONE_PORT, isLoopback, isProxyPort } from './proxy-ports.ts'
export { resolveInbound, type InboundRefusal, type InboundRequest, type InboundTarget } from './resolve-inbound.ts'
export { routeOutbound, type OutboundRequest, type OutboundRoute } from './route-outbound.ts'
