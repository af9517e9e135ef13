import type { CancelSignal } from '../cancellation/index.ts'
import { NOWHERE, type Placed, type PlacedSet } from '../collections/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { Splice, TcpEnd } from '../io/index.ts'
import type { OutgoingTunnel } from './client-connection.ts'
import type { HboneConnection } from './connection.ts'
import { parseConnectResponse } from './connect-response.ts'
import { ErrorCode } from './error-code.ts'
import { HboneError } from './hbone-error.ts'
import type { HeaderField } from './hpack/index.ts'
import { statusText } from './status-text.ts'
import { TunnelSplice } from './tunnel-splice.ts'
import type { StreamHead, TunnelStream } from './tunnel-stream.ts'

const STATUS_OK = 200
const FIRST_FINAL_STATUS = 200

export interface PendingTunnelOptions {
  readonly connection: HboneConnection
  /** The request. */
  readonly block: Buffer
  readonly peer: SpiffeId
  readonly signal: CancelSignal | undefined
  /** Holds it until it is settled, for whoever calls `expire`. */
  readonly unanswered: PlacedSet<PendingTunnel>
  /** Monotonic milliseconds. */
  readonly openedMs: number
}

/** A CONNECT that was sent and is not answered yet. */
export class PendingTunnel implements StreamHead, Placed {
  /** The tunnel, once the peer said 200. Rejects with HboneError. */
  readonly answer: Promise<OutgoingTunnel>
  readonly openedMs: number
  place = NOWHERE
  readonly #connection: HboneConnection
  readonly #stream: TunnelStream
  readonly #peer: SpiffeId
  readonly #signal: CancelSignal | undefined
  readonly #unanswered: PlacedSet<PendingTunnel>
  readonly #resolve: (tunnel: OutgoingTunnel) => void
  readonly #reject: (error: HboneError) => void
  readonly #onAbort = (): void =>
    this.#giveUp(ErrorCode.cancel, new HboneError('aborted', 'open a tunnel: aborted by the caller'))

  constructor({ connection, block, peer, signal, unanswered, openedMs }: PendingTunnelOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<OutgoingTunnel>()
    this.answer = promise
    this.#resolve = resolve
    this.#reject = reject
    this.#connection = connection
    this.#peer = peer
    this.#signal = signal
    this.openedMs = openedMs
    this.#unanswered = unanswered
    this.#stream = connection.open(this, block)
    unanswered.add(this)
    signal?.addEventListener('abort', this.#onAbort)
  }

  onHeaders(fields: readonly HeaderField[], endStream: boolean): void {
    const response = parseConnectResponse(fields)
    if (response.malformed) {
      this.#connection.guard.causedReset()
      this.#giveUp(ErrorCode.protocolError, new HboneError('h2', `the answer is malformed: ${response.reason}`))
      return
    }
    if (response.status < FIRST_FINAL_STATUS && !endStream) {
      this.#connection.guard.idleFrame()
      return
    }
    if (response.status !== STATUS_OK) {
      const error = new HboneError('status', `http status: ${statusText(response.status)}`, { status: response.status })
      if (endStream) this.#stream.receiveEnd()
      this.#settle()
      this.#stream.decline()
      this.#reject(error)
      return
    }
    this.#settle()
    if (endStream) this.#stream.receiveEnd()
    this.#resolve(new OpenTunnel(this.#stream, this.#peer))
  }

  /** It was waited for long enough: the stream is reset, so that nothing of it stays. */
  expire(timeoutMs: number): void {
    this.#giveUp(ErrorCode.cancel, new HboneError('answer-timeout', `no answer to CONNECT within ${timeoutMs} ms`))
  }

  onLost(error: HboneError): void {
    this.#settle()
    this.#reject(error)
  }

  #giveUp(h2Code: number, error: HboneError): void {
    this.#settle()
    this.#stream.reset(h2Code)
    this.#reject(error)
  }

  #settle(): void {
    this.#unanswered.delete(this)
    this.#stream.head = undefined
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}

class OpenTunnel implements OutgoingTunnel {
  readonly peer: SpiffeId
  readonly #stream: TunnelStream

  constructor(stream: TunnelStream, peer: SpiffeId) {
    this.#stream = stream
    this.peer = peer
  }

  splice(app: TcpEnd): Splice {
    return new TunnelSplice(this.#stream, this.#stream.attach(app), false)
  }

  reset(): void {
    this.#stream.reset(ErrorCode.cancel)
  }
}
