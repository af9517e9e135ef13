import type { X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import type { Clock } from '../clock/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { ByteIo, SecurePort, TcpEnd } from '../io/index.ts'
import type { SocketAddress } from '../ip/index.ts'
import type { Log } from '../log/index.ts'
import { HboneConnection } from './connection.ts'
import { parseConnectRequest } from './connect-request.ts'
import { ErrorCode } from './error-code.ts'
import { responseBlock } from './header-block.ts'
import { HboneError } from './hbone-error.ts'
import type { HeaderField } from './hpack/index.ts'
import { IncomingTunnel } from './incoming-tunnel.ts'
import type { MemoryShare } from './held-memory.ts'
import type { Leftovers } from './leftovers.ts'
import type { HboneLimits } from './limits.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** Request Header Fields Too Large (RFC 6585). */
const STATUS_HEADERS_TOO_LARGE = 431

/** What a server shows, and whom it accepts. */
export interface ServerTls {
  readonly context: SecureContext
  /** Judges the client's chain, leaf first; throws to refuse. Undefined: accepted, but without an identity. */
  verify(chain: X509Certificate[]): SpiffeId | undefined
}

/** What a server connection works with. */
export interface AcceptHboneOptions {
  readonly tls: ServerTls
  readonly limits: HboneLimits
  /** Shared by all connections of the process. */
  readonly leftovers: Leftovers
  /** Of the pod whose connection it is. */
  readonly memory: MemoryShare
  readonly clock: Clock
  readonly log: Log
  /** Called for every CONNECT that is well-formed; it must answer (see IncomingTunnel). Must not throw. */
  onTunnel(tunnel: IncomingTunnel): void
}

/** The server's end of one HBONE connection. */
export interface HboneServerConnection {
  readonly remote: SocketAddress
  readonly local: SocketAddress
  /** Who the client is; known once `ready` has resolved. */
  readonly peer: SpiffeId | undefined
  /** The handshake is done and the client accepted. Rejects with HboneError; the connection is closed then. */
  readonly ready: Promise<void>
  /** Resolves, never rejects, when nothing is left of it. */
  readonly closed: Promise<void>
  /** Memory held for the peer at present. */
  readonly bufferedBytes: number
  /** Two-phase GOAWAY; open tunnels go on, the end of the last one closes the connection. */
  drain(): void
  /** Ends all tunnels, with `reason` where one is given, and the connection at once; a handshake too. */
  destroy(reason?: HboneError): void
}

/** TLS and HTTP/2 over an accepted connection, which it owns from here. */
export function acceptHbone(io: ByteIo, end: TcpEnd, options: AcceptHboneOptions): HboneServerConnection {
  return new ServerConnection(io, end, options)
}

class ServerConnection implements HboneServerConnection {
  readonly remote: SocketAddress
  readonly local: SocketAddress
  readonly ready: Promise<void>
  readonly closed: Promise<void>
  peer: SpiffeId | undefined
  readonly #io: ByteIo
  readonly #options: AcceptHboneOptions
  readonly #giveUp = new AbortController()
  #connection: HboneConnection | undefined
  #isDraining = false
  #reason: HboneError | undefined

  constructor(io: ByteIo, end: TcpEnd, options: AcceptHboneOptions) {
    this.#io = io
    this.#options = options
    this.remote = end.remote
    this.local = end.local
    const secured = this.#handshake(end)
    this.ready = secured.then(() => {})
    this.ready.catch(() => {})
    this.closed = secured.then(
      (connection) => connection.closed,
      () => {},
    )
  }

  get bufferedBytes(): number {
    return this.#connection?.bufferedBytes ?? 0
  }

  drain(): void {
    this.#isDraining = true
    this.#connection?.drain()
  }

  destroy(reason?: HboneError): void {
    this.#reason ??= reason
    this.#giveUp.abort()
    this.#connection?.destroy(reason)
  }

  async #handshake(end: TcpEnd): Promise<HboneConnection> {
    const { tls, limits, clock } = this.#options
    try {
      const { port, peer } = await this.#io.secure(end, {
        role: 'server',
        context: tls.context,
        alpn: 'h2',
        verify: (chain) => tls.verify(chain),
        handshakeTimeoutMs: limits.handshakeTimeoutMs,
        clock,
        signal: this.#giveUp.signal,
      })
      this.peer = peer
      return this.#begin(port)
    } catch (error) {
      throw this.#reason ?? HboneError.from(error, 'tls')
    }
  }

  #begin(port: SecurePort): HboneConnection {
    const { limits, leftovers, memory, clock, log } = this.#options
    const connection = new HboneConnection({
      role: 'server',
      io: this.#io,
      port,
      limits,
      leftovers,
      memory,
      clock,
      log,
      hooks: {
        onRequest: (stream, fields, tooLarge) => this.#onRequest(connection, stream, fields, tooLarge),
        onChange: () => {},
        onTick: () => {},
      },
    })
    this.#connection = connection
    connection.start()
    if (this.#giveUp.signal.aborted) connection.destroy()
    else if (this.#isDraining) connection.drain()
    return connection
  }

  #onRequest(connection: HboneConnection, stream: TunnelStream, fields: HeaderField[], tooLarge: boolean): void {
    if (tooLarge) {
      connection.guard.causedReset()
      stream.refuse(responseBlock(STATUS_HEADERS_TOO_LARGE, []))
      return
    }
    const request = parseConnectRequest(fields)
    if (request.malformed) {
      this.#options.log.debug(`a malformed CONNECT: ${request.reason}`)
      connection.guard.causedReset()
      stream.breakOff(ErrorCode.protocolError)
    } else this.#options.onTunnel(new IncomingTunnel(this, stream, request))
  }
}
