import { DumpPage } from './dump-page.ts'
import { HttpEndpoint, text, type HttpEndpointOptions, type HttpReply, type HttpRequest } from './http-endpoint.ts'
import type { LogLevels } from './log-levels.ts'
import { Profiler } from './profiler.ts'
import { TelemetryError } from './telemetry-error.ts'

/** What the operator's pages show and change. */
export interface AdminOptions extends Omit<HttpEndpointOptions, 'handler'> {
  /** For the title of the page. */
  readonly program: string
  readonly levels: LogLevels
  /** What lines are logged as: a level for any other target is taken, and said to mean nothing. */
  readonly targets: readonly string[]
  /** Called after the levels were changed, so that other processes may follow. */
  readonly onLevels: () => void
  /** What /config_dump shows, as for jsonInParts; see DumpPage for when it is made. */
  readonly configDump: () => unknown
  /** Begins to shut down; must return at once. */
  readonly shutdown: () => void
}

/** Parameters of /logging. */
const LOGGING_PARAMETERS = ['level', 'reset']

type Route = (request: HttpRequest) => HttpReply | Promise<HttpReply>

const LOGGING_HELP = `usage:
  POST /logging                  shows the level in force
  POST /logging?level=<level>    changes it: off, error, warn, info, debug, trace, or target=level, several with commas
  POST /logging?reset            goes back to the level of the start; with &level=<level> changes it then
`

/** The operator's pages (port 15000). The addresses must be of the loopback: whoever reaches them may shut down. */
export function serveAdmin(options: AdminOptions): Promise<HttpEndpoint> {
  const profiler = new Profiler(options.clock)
  const dumps = new DumpPage(options.configDump, options.clock)
  const routes = new Map<string, Route>([
    ['/', () => page(options.program)],
    ['/config_dump', (request) => dumps.reply(request)],
    ['/logging', posted(LOGGING_HELP, (request) => changeLevels(options, request))],
    ['/quitquitquit', posted('usage: POST /quitquitquit\n', () => shutDown(options))],
    ['/debug/pprof/profile', (request) => cpuProfile(profiler, request)],
    ['/debug/pprof/heap', () => profile('heap.heapprofile', profiler.heap())],
    ['/debug/pprof/heap/profiling', (request) => heapProfiling(profiler, request)],
  ])
  const handler: Route = (request) => {
    if (!isLocal(request.headers.host)) return text(403, 'ask for localhost, 127.0.0.1 or [::1]\n')
    if (isFromPage(request.headers)) return text(403, 'not from a web page\n')
    return routes.get(request.path)?.(request) ?? text(404, 'not found\n')
  }
  return HttpEndpoint.listen({ ...options, handler })
}

/** A web page can have its own name lead here (DNS rebinding) and read what it gets; it cannot ask for another name. */
function isLocal(host: string | undefined): boolean {
  return host === undefined || /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i.test(host)
}

/**
 * Asked by a page in the browser of an operator who forwards the port. It cannot read the answer, but a GET acts, too: a
 * profile slows the proxy down. Our own page has no scripts and no forms, so it sends no `Origin`; an image of another's
 * page sends none either, but (Fetch Metadata) says where it comes from.
 */
function isFromPage(headers: HttpRequest['headers']): boolean {
  const site = headers['sec-fetch-site'] ?? 'none'
  return headers.origin !== undefined || (site !== 'none' && site !== 'same-origin')
}

/** POST only: what follows links and looks ahead changes nothing. */
function posted(help: string, route: Route): Route {
  return (request) => {
    if (request.method !== 'POST') return { ...text(405, `method not allowed\n${help}`), headers: { allow: 'POST' } }
    return route(request)
  }
}

function changeLevels({ levels, targets, onLevels }: AdminOptions, { query }: HttpRequest): HttpReply {
  const unknown = [...query.keys()].find((name) => !LOGGING_PARAMETERS.includes(name))
  if (unknown !== undefined) {
    const shown = JSON.stringify(unknown.slice(0, 100))
    return text(400, `unknown parameter ${shown}; there are ${LOGGING_PARAMETERS.join(' and ')}\n${LOGGING_HELP}`)
  }
  const level = query.get('level')
  if (query.has('reset')) levels.reset()
  try {
    if (level !== null) levels.add(level)
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error
    return text(400, `Invalid level provided: ${error.message}\n${LOGGING_HELP}`)
  } finally {
    onLevels()
  }
  const note = levels.noteOn(targets)
  return text(200, `current log level is ${levels.toString()}\n${note === undefined ? '' : `note: ${note}\n`}`)
}

function shutDown({ shutdown }: AdminOptions): HttpReply {
  shutdown()
  return text(200, 'shutdown now\n')
}

async function cpuProfile(profiler: Profiler, { query, signal }: HttpRequest): Promise<HttpReply> {
  const seconds = numberBetween(query.get('seconds') ?? '10', 1, 300)
  const frequency = numberBetween(query.get('frequency') ?? '100', 1, 1000)
  if (seconds === undefined) return text(400, 'seconds must be a whole number from 1 to 300\n')
  if (frequency === undefined) return text(400, 'frequency must be a whole number from 1 to 1000\n')
  return profile('profile.cpuprofile', profiler.cpu(seconds, frequency, signal))
}

async function heapProfiling(profiler: Profiler, { query }: HttpRequest): Promise<HttpReply> {
  const activate = query.get('activate')
  if (activate !== 'true' && activate !== 'false') return text(400, 'activate must be true or false\n')
  await profiler.sampleHeap(activate === 'true')
  return text(200, `heap profiling is ${activate === 'true' ? 'on' : 'off'}\n`)
}

function numberBetween(value: string, from: number, to: number): number | undefined {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  return number >= from && number <= to ? number : undefined
}

function page(program: string): HttpReply {
  const body = `<!DOCTYPE html>
<title>${program}</title>
<h1>${program}</h1>
<ul>
<li><a href="config_dump">config_dump</a>: workloads, services, policies, certificates, configuration
<li>POST /logging: show or change the log level (?level=debug, ?level=access=debug, ?reset)
<li>POST /quitquitquit: drain and shut down
<li><a href="debug/pprof/profile?seconds=10">debug/pprof/profile</a>: CPU profile (?seconds, ?frequency)
<li><a href="debug/pprof/heap">debug/pprof/heap</a>: heap profile, after /debug/pprof/heap/profiling?activate=true
</ul>
`
  return { status: 200, contentType: 'text/html; charset=utf-8', body }
}

function json(body: string): HttpReply {
  return { status: 200, contentType: 'application/json', body: `${body}\n` }
}

/** What the profiler refuses is in conflict with what it does now: 409 with its text, which says what to do. */
async function profile(name: string, taken: Promise<string>): Promise<HttpReply> {
  try {
    return attachment(name, await taken)
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error
    return text(409, `${error.message}\n`)
  }
}

function attachment(name: string, body: string): HttpReply {
  return { ...json(body), headers: { 'content-disposition': `attachment; filename="${name}"` } }
}
