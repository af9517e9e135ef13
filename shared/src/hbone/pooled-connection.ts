import type { Clock, Timer } from '../clock/index.ts'
import type { TcpEnd } from '../io/byte-io.ts'
import type { ClientTls, HboneClientConnection, OutgoingTunnel, TunnelRequest } from './client-connection.ts'
import { HboneError } from './hbone-error.ts'

/** How a connection of a key is made. Requests of one key are interchangeable in this. */
export interface Dialler {
  dial(signal: AbortSignal): Promise<TcpEnd>
  tls(): Promise<ClientTls>
}

/** TLS and HTTP/2 over `end`, which it owns. Rejects with HboneError. */
export type Connect = (end: TcpEnd, tls: ClientTls, signal: AbortSignal) => Promise<HboneClientConnection>

export interface PooledConnectionOptions {
  readonly connect: Connect
  readonly clock: Clock
  /** Our own cap of streams; the peer's counts where it is lower. */
  readonly maxStreams: number
  readonly idleTimeoutMs: number
  /** Certificate, dial and handshake together. */
  readonly connectTimeoutMs: number
}

/** What happens to a pooled connection, told to the key it belongs to. */
export interface PooledConnectionOwner {
  /** It may have room for another stream. */
  hasChanged(): void
  /** It could not be made. It is closed. */
  hasFailed(pooled: PooledConnection, error: HboneError): void
  /** It takes no new streams any more; `isUseless` where the peer ended it before it had answered a single request. */
  hasRetired(pooled: PooledConnection, isUseless: boolean): void
  hasClosed(pooled: PooledConnection): void
  /** The peer has answered a request. */
  hasServed(): void
}

type State =
  /** Certificate, TCP and TLS are on their way; nothing can be sent. */
  | {
      readonly kind: 'connecting'
      readonly abort: AbortController
      readonly deadline: Timer
      phase: keyof typeof TIMED_OUT
    }
  /** Takes streams while it has room. `idleTimer` runs from the first idle moment on, and looks when it fires. */
  | {
      readonly kind: 'ready'
      readonly connection: HboneClientConnection
      readonly tls: ClientTls
      idleTimer: Timer | undefined
      idleSinceMs: number | undefined
    }
  /** GOAWAY either way, or idle for too long: its streams go on, it closes after the last one. */
  | { readonly kind: 'retiring'; readonly connection: HboneClientConnection; readonly tls: ClientTls }
  /** Nothing is left of it. */
  | { readonly kind: 'closed' }

const TIMED_OUT = { identity: 'identity', dial: 'dial-timeout', handshake: 'handshake-timeout' } as const

/** One connection of the pool from its dial to its end: connecting → ready → retiring → closed, where any state may close. */
export class PooledConnection {
  /** When its dial began, in monotonic milliseconds. */
  readonly sinceMs: number
  readonly #options: PooledConnectionOptions
  readonly #owner: PooledConnectionOwner
  #state: State
  #hasServed = false
  #isDraining = false

  constructor(dialler: Dialler, owner: PooledConnectionOwner, options: PooledConnectionOptions) {
    this.#options = options
    this.#owner = owner
    this.sinceMs = options.clock.monotonicMs()
    const abort = new AbortController()
    const deadline = options.clock.after(options.connectTimeoutMs, () => this.#giveUp())
    this.#state = { kind: 'connecting', abort, deadline, phase: 'identity' }
    void this.#establish(dialler, abort.signal)
  }

  /** Being made; also while its peer has not said yet how many streams it takes. */
  get isConnecting(): boolean {
    const state = this.#state
    return state.kind === 'connecting' || (state.kind === 'ready' && !state.connection.knowsLimits)
  }

  /** How many streams may be begun now: one before the peer's limit is known, for it refuses those above. */
  get room(): number {
    if (this.#state.kind !== 'ready') return 0
    const { connection } = this.#state
    if (!connection.usable) return 0
    const most = connection.knowsLimits ? connection.maxStreams : 1
    return Math.min(this.#options.maxStreams, most) - connection.activeStreams
  }

  /** Since when it has no stream, in monotonic milliseconds; undefined while it has one or is not ready. */
  get idleSinceMs(): number | undefined {
    return this.#state.kind === 'ready' ? this.#state.idleSinceMs : undefined
  }

  /** Begins a stream. To be called only where there is room; whoever awaits the answer tells `hasAnswered`. */
  open(request: TunnelRequest): Promise<OutgoingTunnel> {
    if (this.#state.kind !== 'ready')
      return Promise.reject(new HboneError('h2', 'the tunnel connection has ended', { unprocessed: true }))
    this.#state.idleSinceMs = undefined
    return this.#state.connection.open(request)
  }

  /** What became of a stream that was begun by `open`. */
  hasAnswered(error?: unknown): void {
    if (error === undefined || (error instanceof HboneError && error.code === 'status')) this.#served()
    if (error !== undefined) this.#watchIdle() // a request that could not be sent has changed nothing
  }

  /** Takes no new streams and closes after the last one. */
  retire(): void {
    if (this.#state.kind === 'ready') this.#retire(false)
  }

  /** From now on it retires as soon as it has no stream. */
  drain(): void {
    this.#isDraining = true
    this.#watchIdle()
  }

  /** What it was made with; undefined before its peer was accepted, and after its end. */
  get tls(): ClientTls | undefined {
    return this.#state.kind === 'ready' || this.#state.kind === 'retiring' ? this.#state.tls : undefined
  }

  /** Ends it and its tunnels, with `reason` where one is given, at once. The owner is told that it closed, nothing else. */
  destroy(reason?: HboneError): void {
    const state = this.#state
    if (state.kind === 'closed') return
    this.#close()
    if (state.kind === 'connecting') state.abort.abort()
    else state.connection.destroy(reason)
  }

  /** Own certificate, TCP, TLS and HTTP/2, in this order: without a certificate nobody need be dialled. */
  async #establish(dialler: Dialler, signal: AbortSignal): Promise<void> {
    try {
      const tls = await step(dialler.tls(), 'identity')
      this.#enter('dial')
      const end = await step(dialler.dial(signal), 'dial')
      if (signal.aborted) return end.destroy()
      this.#enter('handshake')
      const connection = await step(this.#options.connect(end, tls, signal), 'h2')
      if (this.#state.kind === 'connecting') this.#becomeReady(connection, tls)
      else connection.destroy() // given up in the meantime
    } catch (error) {
      this.#fail(HboneError.from(error, 'dial'))
    }
  }

  #enter(phase: keyof typeof TIMED_OUT): void {
    if (this.#state.kind === 'connecting') this.#state.phase = phase
  }

  #giveUp(): void {
    if (this.#state.kind !== 'connecting') return
    const { phase, abort } = this.#state
    abort.abort()
    this.#fail(
      new HboneError(TIMED_OUT[phase], `no tunnel connection within ${this.#options.connectTimeoutMs} ms: ${phase}`),
    )
  }

  #fail(error: HboneError): void {
    if (this.#state.kind !== 'connecting') return
    this.#close()
    this.#owner.hasFailed(this, error)
  }

  #becomeReady(connection: HboneClientConnection, tls: ClientTls): void {
    if (this.#state.kind === 'connecting') this.#state.deadline.cancel()
    this.#state = { kind: 'ready', connection, tls, idleTimer: undefined, idleSinceMs: undefined }
    connection.onChange = () => this.#hasChanged()
    void connection.closed.then(() => this.#lost())
    this.#hasChanged()
  }

  #hasChanged(): void {
    if (this.#state.kind !== 'ready') return
    const { connection } = this.#state
    // A peer that allows no stream at all would be waited for in vain, and dialled again by every request.
    const refusesAll = connection.maxStreams === 0 && connection.activeStreams === 0 && !this.#hasServed
    if (!connection.usable || refusesAll) return this.#retire(!this.#hasServed)
    this.#owner.hasChanged()
    this.#watchIdle()
  }

  /** One timer per connection; it is not moved for every stream that comes and goes. */
  #watchIdle(): void {
    const state = this.#state
    if (state.kind !== 'ready' || state.connection.activeStreams > 0) return
    if (this.#isDraining) return this.#retire(false)
    const { clock, idleTimeoutMs } = this.#options
    state.idleSinceMs ??= clock.monotonicMs()
    const restMs = state.idleSinceMs + idleTimeoutMs - clock.monotonicMs()
    if (restMs <= 0) return this.#retire(false)
    state.idleTimer ??= clock.after(restMs, () => {
      state.idleTimer = undefined
      this.#watchIdle()
    })
  }

  #retire(isUseless: boolean): void {
    if (this.#state.kind !== 'ready') return
    const { connection, tls, idleTimer } = this.#state
    idleTimer?.cancel()
    this.#state = { kind: 'retiring', connection, tls }
    connection.drain()
    this.#owner.hasRetired(this, isUseless)
  }

  /** The connection has closed, by whichever end. */
  #lost(): void {
    this.#retire(!this.#hasServed)
    this.#close()
  }

  #close(): void {
    const state = this.#state
    if (state.kind === 'closed') return
    if (state.kind === 'connecting') state.deadline.cancel()
    if (state.kind === 'ready') state.idleTimer?.cancel()
    this.#state = { kind: 'closed' }
    this.#owner.hasClosed(this)
  }

  #served(): void {
    this.#hasServed = true
    this.#owner.hasServed()
  }
}

/** Names the phase in an error that has no better code of its own. */
async function step<T>(promise: Promise<T>, otherwise: 'identity' | 'dial' | 'h2'): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw HboneError.from(error, otherwise)
  }
}
