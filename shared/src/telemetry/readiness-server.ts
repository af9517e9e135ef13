import { HttpEndpoint, text, type HttpEndpointOptions, type HttpHandler } from './http-endpoint.ts'
import type { Readiness } from './readiness.ts'

/** `GET /healthz/ready` (port 15021): 200 when nothing is pending, else 500 with what is. */
export function serveReadiness(
  readiness: Readiness,
  options: Omit<HttpEndpointOptions, 'handler'>,
): Promise<HttpEndpoint> {
  return HttpEndpoint.listen({ ...options, handler: readinessHandler(readiness) })
}

function readinessHandler(readiness: Readiness): HttpHandler {
  return ({ method, path }) => {
    if (path !== '/healthz/ready') return text(404, 'not found\n')
    if (method !== 'GET') return { ...text(405, 'method not allowed\n'), headers: { allow: 'GET' } }
    return readiness.isReady ? text(200, 'ready\n') : text(500, `not ready, pending: ${readiness.pending.join(', ')}\n`)
  }
}
