import type { Clock } from '../clock/index.ts'
import { EncodedBody } from './content-encoding.ts'
import { HttpEndpoint, text, type HttpEndpointOptions, type HttpHandler } from './http-endpoint.ts'
import { OneForAll } from './one-for-all.ts'

const OPEN_METRICS = 'application/openmetrics-text;charset=utf-8;version=1.0.0'
const PLAIN = 'text/plain; charset=utf-8'

/**
 * `/metrics` and `/stats/prometheus` (port 15020), any method. `render` gives the OpenMetrics text of the moment; who asks
 * while it is being made gets the same, and who asks soon after waits a little, so that any number of clients leaves the process
 * most of its time.
 */
export function serveMetrics(
  render: () => string | Promise<string>,
  options: Omit<HttpEndpointOptions, 'handler'>,
): Promise<HttpEndpoint> {
  return HttpEndpoint.listen({ ...options, handler: metricsHandler(render, options.clock) })
}

function metricsHandler(render: () => string | Promise<string>, clock: Clock): HttpHandler {
  const bodies = new OneForAll(async () => new EncodedBody(Buffer.from(await render())), clock)
  return async ({ path, headers }) => {
    if (path !== '/metrics' && path !== '/stats/prometheus') return text(404, 'not found\n')
    const { body, encoding } = await (await bodies.get()).for(headers['accept-encoding']?.toString())
    return {
      status: 200,
      contentType: metricsContentType(headers.accept),
      body,
      headers: { vary: 'accept-encoding', ...(encoding === undefined ? {} : { 'content-encoding': encoding }) },
    }
  }
}

/** OpenMetrics when any element of `Accept` is that type, whatever its parameters; the body is the same either way. */
function metricsContentType(accept: string | undefined): string {
  const types = (accept ?? '').split(',').map((element) => element.split(';')[0]?.trim().toLowerCase())
  return types.includes('application/openmetrics-text') ? OPEN_METRICS : PLAIN
}
