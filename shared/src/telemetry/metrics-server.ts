import type { Clock } from '../clock/index.ts'
import { EncodedBody } from './content-encoding.ts'
import { HttpEndpoint, text, type HttpEndpointOptions, type HttpHandler } from './http-endpoint.ts'

const OPEN_METRICS = 'application/openmetrics-text;charset=utf-8;version=1.0.0'
const PLAIN = 'text/plain; charset=utf-8'

/** Between two renderings so many times as long as one took, up to the second: they get a quarter of the process at most. */
const PAUSES = 3
const MAX_PAUSE_MS = 1000

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
  let underWay: Promise<EncodedBody> | undefined
  let notBeforeMs = 0
  const make = async (): Promise<EncodedBody> => {
    await untilMs(notBeforeMs, clock)
    const sinceMs = clock.monotonicMs()
    try {
      const text = await Promise.try(render)
      return new EncodedBody(Buffer.from(text))
    } finally {
      const nowMs = clock.monotonicMs()
      notBeforeMs = nowMs + Math.min(PAUSES * (nowMs - sinceMs), MAX_PAUSE_MS)
      underWay = undefined
    }
  }
  return async ({ path, headers }) => {
    if (path !== '/metrics' && path !== '/stats/prometheus') return text(404, 'not found\n')
    underWay ??= make()
    const { body, encoding } = await (await underWay).for(headers['accept-encoding']?.toString())
    return {
      status: 200,
      contentType: metricsContentType(headers.accept),
      body,
      headers: { vary: 'accept-encoding', ...(encoding === undefined ? {} : { 'content-encoding': encoding }) },
    }
  }
}

/** At once where that time is past. */
async function untilMs(timeMs: number, clock: Clock): Promise<void> {
  const pauseMs = timeMs - clock.monotonicMs()
  if (pauseMs <= 0) return
  await new Promise<void>((resolve) => {
    clock.after(pauseMs, resolve)
  })
}

/** OpenMetrics when any element of `Accept` is that type, whatever its parameters; the body is the same either way. */
export function metricsContentType(accept: string | undefined): string {
  const types = (accept ?? '').split(',').map((element) => element.split(';')[0]?.trim().toLowerCase())
  return types.includes('application/openmetrics-text') ? OPEN_METRICS : PLAIN
}
