import type { Clock, Timer } from '../clock/index.ts'
import { ErrorCode } from './error-code.ts'
import { FrameType, MAX_STREAM_ID } from './frames.ts'
import type { SendScheduler } from './send-scheduler.ts'

const DRAIN_PING = Buffer.from('draining')

/**
 * - `open`: streams come and go.
 * - `warning`: a server has sent GOAWAY that refuses no stream yet, for requests may be on their way; it is for the peer to hear.
 * - `draining`: GOAWAY was sent or received; existing streams go on, and the last one's end closes the connection.
 * - `closing`: the last frames are on their way; nothing inbound counts any more.
 * - `closed`: nothing is left but streams whose applications have yet to take what was received; Leftovers bounds how long.
 */
export type ConnectionState = 'open' | 'warning' | 'draining' | 'closing' | 'closed'

export interface ShutdownOptions {
  readonly role: 'client' | 'server'
  readonly clock: Clock
  /** How long a peer has to answer the warning, and to read the last frames. */
  readonly closeTimeoutMs: number
  readonly send: Pick<SendScheduler, 'frame' | 'goaway' | 'finish'>
  readonly ids: { readonly highest: number }
  readonly streams: { readonly size: number }
  /** All frames are written: close_notify and FIN. */
  readonly endPort: () => void
  readonly loseStreams: (why: string) => void
  /** `closing` has begun: no answer of the peer is waited for any more. */
  readonly onClosing: () => void
  /** `closed` has begun: everything is to be released, and streams are lost for that reason. */
  readonly onClosed: (why: string) => void
  /** The state may have become another one, not yet `closed`. */
  readonly onChange: () => void
}

/** The end of a connection, step by step and never back: open → warning → draining → closing → closed. */
export class Shutdown {
  readonly #options: ShutdownOptions
  #state: ConnectionState = 'open'
  /** Server: streams above this are refused. */
  #lastAcceptedId = MAX_STREAM_ID
  /** Ends the warning, or the closing. */
  #timer: Timer | undefined

  constructor(options: ShutdownOptions) {
    this.#options = options
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** What still comes in counts for nothing. */
  get isClosing(): boolean {
    return this.#state === 'closing' || this.#state === 'closed'
  }

  /** Server: a new stream of that id may begin. */
  admits(streamId: number): boolean {
    return streamId <= this.#lastAcceptedId
  }

  /** No new streams from now on. Idempotent. */
  drain(): void {
    if (this.#state !== 'open') return
    const { role, clock, closeTimeoutMs, send, onChange } = this.#options
    if (role === 'client') {
      this.#state = 'draining'
      send.goaway(0, ErrorCode.noError)
    } else {
      // Two phases (RFC 9113 §6.8): first a warning, then, when the peer has certainly seen it, the last stream that counts.
      this.#state = 'warning'
      send.goaway(MAX_STREAM_ID, ErrorCode.noError)
      send.frame(FrameType.ping, 0, 0, DRAIN_PING)
      this.#timer = clock.after(closeTimeoutMs, () => this.#refuseFurtherStreams())
    }
    onChange()
    this.closeIfDrained()
  }

  /** GOAWAY came: a server's client opens no stream any more, a client's server takes none. */
  peerDrains(): void {
    if (this.#state === 'open' || this.#state === 'warning') {
      this.#timer?.cancel()
      this.#state = 'draining'
      this.#lastAcceptedId = this.#options.ids.highest
    }
    this.#options.onChange()
    this.closeIfDrained()
  }

  /** An answer to PING came. False where it is not the one that the warning waits for. */
  pingAnswered(payload: Buffer): boolean {
    if (this.#state !== 'warning' || !payload.equals(DRAIN_PING)) return false
    this.#refuseFurtherStreams()
    return true
  }

  /** To be called when a stream has ended. */
  closeIfDrained(): void {
    if (this.#state === 'draining' && this.#options.streams.size === 0) this.#sayGoodbye()
  }

  /** RFC 9113 §5.4.1: streams are lost for that reason, then GOAWAY and the end, whatever the peer does. Once. */
  fail(h2Code: number, why: string): void {
    if (this.isClosing) return
    const { role, ids, send, loseStreams } = this.#options
    // Before the streams are lost: the end of the last one would close a connection that drains, without this GOAWAY.
    this.#state = 'closing'
    loseStreams(why)
    // Never above what an earlier GOAWAY said (§6.8), though streams that came after it, and were refused, count in the ids.
    send.goaway(role === 'server' ? Math.min(ids.highest, this.#lastAcceptedId) : 0, h2Code)
    this.#sayGoodbye()
  }

  /** The end, at once. Idempotent. */
  close(why: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#timer?.cancel()
    this.#options.onClosed(why)
  }

  #refuseFurtherStreams(): void {
    this.#timer?.cancel()
    this.#state = 'draining'
    this.#lastAcceptedId = this.#options.ids.highest
    this.#options.send.goaway(this.#lastAcceptedId, ErrorCode.noError)
    this.closeIfDrained()
  }

  /** Writes what waits, and gives the peer a moment to read it. */
  #sayGoodbye(): void {
    const { clock, closeTimeoutMs, send, endPort, onClosing, onChange } = this.#options
    this.#state = 'closing'
    onClosing()
    this.#timer?.cancel()
    this.#timer = clock.after(closeTimeoutMs, () => this.close('closed'))
    send.finish(endPort)
    onChange()
  }
}
