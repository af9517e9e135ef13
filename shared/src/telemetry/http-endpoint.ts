import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Clock } from '../clock/index.ts'
import { ConnectionSlots } from '../collections/index.ts'
import { messageOf, whyNotListening } from '../errors/index.ts'
import { formatSocketAddress, type SocketAddress } from '../ip/index.ts'
import type { Log } from '../log/index.ts'
import { FirstRequest } from './first-request.ts'
import { TelemetryError } from './telemetry-error.ts'

/** One answer. A string or bytes with its type. */
export interface HttpReply {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

/** A request whose head has come; its body is dropped. */
export interface HttpRequest {
  readonly method: string
  /** The path without its query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Fires when the client has gone, before the answer or behind its end. */
  readonly signal: AbortSignal
}

/** Answers one request. What it throws becomes a 500 with its text. */
export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>

/** Where an HttpEndpoint listens, and its bound. */
export interface HttpEndpointOptions {
  /** One server for each, all or none. Port 0 takes a free one, the same for all that follow. */
  readonly addresses: readonly SocketAddress[]
  readonly handler: HttpHandler
  readonly log: Log
  readonly clock: Clock
  /** Open connections at each address; for a further one the oldest that asks nothing goes. Default 100. */
  readonly maxConnections?: number
}

/** Istio: the time for a request's headers, and their size. */
const HEADERS_TIMEOUT_MS = 2000
const MAX_HEADER_BYTES = 8192
/** What stands before the path where a client speaks as to a proxy (RFC 9112 section 3.2.2). */
const ABSOLUTE_FORM = /^https?:\/\/[^/?]*/i

/** A text reply, as most are. */
export function text(status: number, body: string): HttpReply {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}

/**
 * A small HTTP/1.1 server for operators and probes: one request of each connection, bounded in headers, time and connections.
 * A body is dropped, and so is what comes behind it; of both more than 64 KiB cut the connection. Who ends his side before the
 * answer begins is taken to be gone. Errors of the handler become a 500 with their text.
 */
export class HttpEndpoint {
  readonly #servers: readonly Server[]
  readonly #clock: Clock

  private constructor(servers: readonly Server[], clock: Clock) {
    this.#servers = servers
    this.#clock = clock
  }

  /** Throws TelemetryError `bad-address` when it cannot listen everywhere. */
  static async listen(options: HttpEndpointOptions): Promise<HttpEndpoint> {
    const servers: Server[] = []
    try {
      let freePort = 0
      for (const { address, port } of options.addresses) {
        const server = newServer(options)
        servers.push(server)
        await listening(server, { address, port: port === 0 ? freePort : port })
        freePort ||= portOf(server)
      }
    } catch (error) {
      for (const server of servers) server.close()
      throw error
    }
    return new HttpEndpoint(servers, options.clock)
  }

  /** Where it listens, in the order of the addresses asked for. */
  get ports(): readonly number[] {
    return this.#servers.map(portOf)
  }

  /** Takes no new connections, lets requests under way finish until the deadline, then cuts what is left. */
  async close(deadlineMs: number): Promise<void> {
    const timer = this.#clock.after(deadlineMs, () => {
      for (const server of this.#servers) server.closeAllConnections()
    })
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeIdleConnections()
        }),
    )
    await Promise.all(closed)
    timer.cancel()
  }
}

function newServer(options: HttpEndpointOptions): Server {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // A body that the server does not get to see would be late.
    requestTimeout: 0,
    connectionsCheckingInterval: 500,
  }
  const serve = (request: IncomingMessage, response: ServerResponse): void => void answer(options, request, response)
  const server = createServer(limits, serve)
  // Whatever a request expects, its answer does not wait for its body.
  server.on('checkContinue', serve).on('checkExpectation', serve)
  serveFirstRequests(server, new ConnectionSlots(options.maxConnections ?? 100), options.clock)
  return server
}

/** Node's server takes any Duplex for a connection; its timeouts work only where it has the listening socket itself. */
function serveFirstRequests(server: Server, slots: ConnectionSlots, clock: Clock): void {
  const serve = server.listeners('connection')
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    const connection = new FirstRequest(socket, clock)
    slots.take(connection)
    for (const listener of serve) Reflect.apply(listener, server, [connection])
  })
}

function listening(server: Server, { address, port }: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      const where = formatSocketAddress({ address, port })
      reject(
        new TelemetryError('bad-address', `cannot listen on ${where}: ${whyNotListening(error, port)}`, {
          source: 'config',
          cause: error,
        }),
      )
    }
    server.once('error', failed)
    server.listen({ host: address, port }, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

function portOf(server: Server): number {
  // A listening TCP server has an AddressInfo; a string belongs to pipes, null to a closed one.
  const address: AddressInfo | string | null = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

async function answer(
  { handler, log }: HttpEndpointOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.on('error', () => gone.abort())
  const reply = await replyOf(handler, incoming, gone.signal, log)
  if (gone.signal.aborted) return
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body
  response.writeHead(reply.status, {
    ...reply.headers,
    'content-type': reply.contentType,
    'content-length': body.length,
    connection: 'close',
  })
  response.end(incoming.method === 'HEAD' ? undefined : body)
}

async function replyOf(
  handler: HttpHandler,
  incoming: IncomingMessage,
  signal: AbortSignal,
  log: Log,
): Promise<HttpReply> {
  try {
    const target = (incoming.url ?? '/').replace(ABSOLUTE_FORM, '')
    const mark = target.indexOf('?')
    const path = (mark < 0 ? target : target.slice(0, mark)) || '/'
    const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
    return await handler({ method: incoming.method ?? 'GET', path, query, headers: incoming.headers, signal })
  } catch (error) {
    log.warn('request failed', { path: incoming.url, error: messageOf(error) })
    return text(500, `${messageOf(error)}\n`)
  }
}
