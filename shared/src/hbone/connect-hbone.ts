import type { Clock } from '../clock/index.ts'
import { PlacedSet } from '../collections/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { ByteIo, SecurePort, TcpEnd } from '../io/index.ts'
import type { Log } from '../log/index.ts'
import type { ClientTls, HboneClientConnection, OutgoingTunnel, TunnelRequest } from './client-connection.ts'
import { HboneConnection } from './connection.ts'
import { HboneError } from './hbone-error.ts'
import { connectRequestBlock } from './header-block.ts'
import type { MemoryShare } from './held-memory.ts'
import type { Leftovers } from './leftovers.ts'
import type { HboneLimits } from './limits.ts'
import { PendingTunnel } from './pending-tunnel.ts'

/** What a client connection works with. */
export interface ConnectHboneOptions {
  readonly tls: ClientTls
  readonly limits: HboneLimits
  /** Shared by all connections of the process. */
  readonly leftovers: Leftovers
  /** Of the pod whose connection it is. */
  readonly memory: MemoryShare
  readonly clock: Clock
  readonly log: Log
  /** Gives up the handshake. */
  readonly signal?: AbortSignal
}

/**
 * TLS and HTTP/2 over a connected TcpEnd, which it owns from here. Resolves after the handshake, when the peer is known to be
 * who was expected. Rejects with HboneError `tls`, `tls-verify`, `handshake-timeout` or `aborted`.
 */
export async function connectHbone(
  io: ByteIo,
  end: TcpEnd,
  options: ConnectHboneOptions,
): Promise<HboneClientConnection> {
  const { tls, limits, clock, signal } = options
  try {
    const { port, peer } = await io.secure(end, {
      role: 'client',
      context: tls.context,
      alpn: 'h2',
      verify: (chain) => tls.verify(chain),
      handshakeTimeoutMs: limits.handshakeTimeoutMs,
      clock,
      ...(signal === undefined ? {} : { signal }),
    })
    return new ClientConnection(io, port, peer, options)
  } catch (error) {
    throw HboneError.from(error, 'tls', 'open an HBONE connection')
  }
}

class ClientConnection implements HboneClientConnection {
  readonly peer: SpiffeId
  readonly closed: Promise<void>
  onChange: () => void = () => {}
  readonly #connection: HboneConnection
  readonly #unanswered = new PlacedSet<PendingTunnel>()
  readonly #clock: Clock
  #isOpening = false

  constructor(
    io: ByteIo,
    port: SecurePort,
    peer: SpiffeId,
    { limits, leftovers, memory, clock, log }: ConnectHboneOptions,
  ) {
    this.peer = peer
    this.#clock = clock
    this.#connection = new HboneConnection({
      role: 'client',
      io,
      port,
      limits,
      leftovers,
      memory,
      clock,
      log,
      hooks: {
        // A server does not open streams; the connection refuses them before it comes to this.
        onRequest: () => {},
        onChange: () => {
          if (!this.#isOpening) this.onChange()
        },
        onTick: () => this.#expire(limits.answerTimeoutMs),
      },
    })
    this.closed = this.#connection.closed
    this.#connection.start()
  }

  get usable(): boolean {
    return this.#connection.state === 'open'
  }

  get activeStreams(): number {
    return this.#connection.streams.size
  }

  get maxStreams(): number {
    return this.#connection.peerMaxStreams
  }

  get knowsLimits(): boolean {
    return this.#connection.knowsPeer
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedBytes
  }

  open(request: TunnelRequest): Promise<OutgoingTunnel> {
    if (request.signal?.aborted === true)
      return Promise.reject(new HboneError('aborted', 'open a tunnel: aborted by the caller'))
    if (!this.usable)
      return Promise.reject(new HboneError('h2', 'open a tunnel: the connection is going away', { unprocessed: true }))
    this.#isOpening = true
    try {
      const block = connectRequestBlock(request.authority, request.headers)
      const { answer } = new PendingTunnel({
        connection: this.#connection,
        block,
        peer: this.peer,
        signal: request.signal,
        unanswered: this.#unanswered,
        openedMs: this.#clock.monotonicMs(),
      })
      return answer
    } catch (error) {
      return Promise.reject(HboneError.from(error, 'h2', 'open a tunnel'))
    } finally {
      this.#isOpening = false
    }
  }

  drain(): void {
    this.#connection.drain()
  }

  destroy(reason?: HboneError): void {
    this.#connection.destroy(reason)
  }

  /** One look at all of them now and then instead of a timer for each: most are answered within milliseconds. */
  #expire(timeoutMs: number): void {
    const latest = this.#clock.monotonicMs() - timeoutMs
    for (const pending of this.#unanswered.list()) if (pending.openedMs <= latest) pending.expire(timeoutMs)
  }
}
