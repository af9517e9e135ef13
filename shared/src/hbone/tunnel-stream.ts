import { HeapSlab, IoError, isSwallowed, type PortOwner, type Slab, type TcpEnd, type TcpPort } from '../io/index.ts'
import { AppSide, type Written } from './app-side.ts'
import type { HeaderField } from './hpack/index.ts'
import type { DeliveryTarget } from './delivery.ts'
import { ErrorCode, nameOfCode } from './error-code.ts'
import { HboneError } from './hbone-error.ts'
import type { Leftover, Leftovers } from './leftovers.ts'
import { ReceiveCredit, type CreditHost } from './receive-credit.ts'
import type { Stash } from './stash.ts'
import { FIRST_QUOTA_BYTES, type SendScheduler, type SendSource } from './send-scheduler.ts'

/** A peer that resets for one of these wants no more of the stream, and nothing went wrong. */
const ORDERLY_CODES: ReadonlySet<number> = new Set([ErrorCode.noError, ErrorCode.cancel, ErrorCode.streamClosed])

/** What a stream needs of its connection. */
export interface StreamHost extends CreditHost {
  readonly send: SendScheduler
  readonly leftovers: Leftovers
  readonly streams: StreamKeeper
  attach(end: TcpEnd, owner: PortOwner): TcpPort
}

/** What a stream tells to where the streams of its connection are kept. */
export interface StreamKeeper {
  /** Bytes received for applications that did not take them yet changed by so many. */
  held(change: number): void
  /** The stream is over and takes no place any more. */
  remove(stream: TunnelStream): void
  /** Our application is gone; the peer gets some time to end the stream too. */
  linger(stream: TunnelStream): void
  /** Sends RST_STREAM and remembers that we did. */
  sendReset(streamId: number, h2Code: number): void
}

/** What becomes of a stream before bytes flow: the request's side on a server, the response's on a client. */
export interface StreamHead {
  onHeaders(fields: readonly HeaderField[], endStream: boolean): void
  /** Reset by the peer or lost with the connection, before or after the head; not called after attach(). */
  onLost(error: HboneError): void
}

/**
 * One tunnel: an HTTP/2 stream and, once attached, the application's TCP connection, joined in both directions.
 *
 * Application → tunnel: the port's data is offered to the scheduler, FIN becomes END_STREAM.
 * Tunnel → application: DATA is written to the port, END_STREAM becomes FIN; the peer gets credit for what the kernel took.
 *
 * How it ends, where "the rest" is all that was received, and an orderly reset is one of ORDERLY_CODES, in the data phase:
 *
 * | cause                         | to the peer                                | to the application | splice    |
 * | ----------------------------- | ------------------------------------------ | ------------------ | --------- |
 * | both sides have ended         | END_STREAM                                 | the rest, FIN      | resolves  |
 * | the application is gone (RST) | END_STREAM, then CANCEL if it goes on      |                    | resolves  |
 * | `receiveReset`, orderly       |                                            | the rest, FIN      | resolves  |
 * | `receiveReset`, any other     |                                            | RST                | `h2`      |
 * | `lose` when both have ended   |                                            | the rest, FIN      | resolves  |
 * | `lose` before that            |                                            | RST                | `h2`      |
 * | `reset`                       | RST_STREAM                                 | the rest, FIN      | resolves  |
 * | `refuse`                      | END_STREAM, then NO_ERROR if it goes on    | there is none      |           |
 * | `decline`                     | END_STREAM, or CANCEL if it goes on        | there is none      |           |
 * | `breakOff`                    | RST_STREAM                                 | RST                | `h2`      |
 * | `abort`                       | CANCEL                                     | FIN, or RST        | `aborted` |
 * | `relieve`                     | ENHANCE_YOUR_CALM                          | RST                | `aborted` |
 * | `giveUp`                      |                                            | RST                | `aborted` |
 * | `onError` of the application  | CANCEL                                     | RST                | IoError   |
 *
 * The rest is kept for the application: as long as it likes where the peer ended by END_STREAM and is still connected, for a
 * bounded time (Leftovers) where the stream was reset or the connection is gone.
 */
export class TunnelStream implements PortOwner, SendSource, DeliveryTarget, Leftover {
  readonly id: number
  readonly #host: StreamHost
  head: StreamHead | undefined
  bytesFromApp = 0
  /** DATA was received: the stream was more than an opened and dropped request. */
  hasCarriedData = false

  // Notes of the scheduler, the delivery and the contention, kept here so that none needs a map.
  sendWindow: number
  quota = FIRST_QUOTA_BYTES
  served: number
  stash: Stash | undefined
  waitsFor: 'nothing' | 'turn' | 'window' = 'nothing'
  pendingSlab: Slab | undefined
  pendingStart = 0
  pendingEnd = 0
  isPendingCopied = false
  isListed = false
  bytesSinceSmall = 0

  readonly #app = new AppSide()
  /** The application sent FIN (or is gone); END_STREAM follows when the stash is sent. */
  #appHasEnded = false
  #localEnded = false
  #isOver = false
  #hasLingered = false
  /** Reset, by either side, or its connection is gone: nothing but the application can end it. */
  #peerHasLeft = false
  #failure: HboneError | IoError | undefined
  readonly #credit: ReceiveCredit
  #finished: PromiseWithResolvers<void> | undefined

  constructor(host: StreamHost, id: number, sendWindow: number, receiveWindowBytes: number) {
    this.#host = host
    this.id = id
    this.sendWindow = sendWindow
    this.served = host.send.level
    this.#credit = new ReceiveCredit(host, id, receiveWindowBytes)
  }

  get canSend(): boolean {
    return !this.#localEnded
  }

  /** END_STREAM or a reset was received. */
  get remoteEnded(): boolean {
    return this.#credit.hasEnded
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** Received and not yet taken by the application. */
  get heldBytes(): number {
    return this.#credit.heldBytes
  }

  get bytesToApp(): number {
    return this.#app.bytesWritten
  }

  /** Changes whenever the application's kernel takes some of it. */
  get writeMark(): number {
    return this.#app.writeMark
  }

  /** Memory held for this stream. */
  get bufferedBytes(): number {
    return (this.stash?.length ?? 0) + this.#app.bufferedBytes
  }

  // ---- the head

  /** Sends HEADERS: the request, or the 200. */
  sendHead(block: Buffer): void {
    if (!this.#localEnded) this.#host.send.headers(this.id, block, false)
  }

  /** Sends HEADERS with END_STREAM: an answer and nothing more. */
  refuse(block: Buffer): void {
    if (this.#localEnded) return
    this.#host.send.headers(this.id, block, true)
    this.#localEnded = true
    // The answer is complete; what the peer still sends is not wanted (RFC 9113 §8.1).
    this.reset(ErrorCode.noError)
  }

  /** Begins the data phase; owns `end`. `prelude` goes to the application before anything from the peer. */
  attach(end: TcpEnd, prelude?: Buffer): Promise<void> {
    this.head = undefined
    const finished = Promise.withResolvers<void>()
    const { promise } = finished
    promise.catch(() => {})
    if (this.#isOver || !this.#app.isAwaited) {
      end.destroy(true)
      finished.reject(this.#failure ?? new HboneError('aborted', 'the tunnel is in use or over'))
      return promise
    }
    this.#finished = finished
    const early = this.#app.attach(this.#host.attach(end, this), prelude)
    for (let chunk = early?.shift(); chunk !== undefined && this.#app.isAttached; chunk = early?.shift())
      this.#written(this.#app.write(new HeapSlab(chunk), 0, chunk.length), chunk.length)
    if (this.remoteEnded && !this.#localEnded) this.#app.end()
    this.#settle()
    return promise
  }

  // ---- from the application (PortOwner)

  onData(slab: Slab, start: number, end: number): void {
    if (this.#localEnded) return
    this.bytesFromApp += end - start
    this.#host.send.offer(this, slab, start, end)
  }

  onEnd(): void {
    this.#appHasEnded = true
    if (this.stash === undefined) this.#endSending()
  }

  onTaken(bytes: number): void {
    this.#credit.taken(this.#app.taken(bytes))
    this.#settle()
  }

  onError(errno: string): void {
    if (isSwallowed(errno)) this.#loseApp()
    else this.#fail(IoError.ofErrno(errno, 'copy'), ErrorCode.cancel)
  }

  // ---- to the peer (SendSource)

  pauseReading(): void {
    this.#app.pause()
  }

  continueSending(inSmallBursts: boolean): void {
    if (this.#appHasEnded) this.#endSending()
    else this.#app.resume(inSmallBursts)
  }

  // ---- from the peer (called by the connection)

  /** A DATA frame of `length` bytes, padding included, begins. False when the peer exceeds the window. */
  receive(length: number): boolean {
    this.hasCarriedData ||= length > 0
    return this.#credit.receive(length)
  }

  /** Bytes of a frame that carry no data (padding) need no application to take them. */
  receivePadding(length: number): void {
    this.#credit.release(length)
  }

  deliver(slab: Slab, start: number, end: number): void {
    const length = end - start
    if (this.#isOver) return
    this.#credit.hold(length)
    this.#written(this.#app.write(slab, start, end), length)
  }

  receiveEnd(): void {
    if (this.remoteEnded) return
    this.#credit.end()
    // When our direction has ended too, closing says FIN with one call less.
    if (!this.#localEnded) this.#app.end()
    this.#settle()
  }

  receiveReset(h2Code: number): void {
    if (ORDERLY_CODES.has(h2Code) && this.head === undefined) {
      this.#part()
      return
    }
    const unprocessed = h2Code === ErrorCode.refusedStream
    this.#fail(new HboneError('h2', `the peer reset the stream: ${nameOfCode(h2Code)}`, { unprocessed }))
  }

  /** The connection is gone, or (`unprocessed`) the peer said by GOAWAY that it never looked at this stream. */
  lose(why: string, unprocessed = false): void {
    const hasEnded = this.#localEnded && this.remoteEnded && this.head === undefined
    if (hasEnded) this.#part()
    else this.#fail(new HboneError('h2', why, { unprocessed }))
  }

  // ---- ended from here

  /** Ends both sides at once: RST_STREAM to the peer, FIN or RST to the application. The splice ends with `reason`. */
  abort(
    reason = new HboneError('aborted', 'the tunnel was ended on this side', { source: 'internal' }),
    resetApp = false,
  ): void {
    this.#fail(reason, ErrorCode.cancel, resetApp)
  }

  /** The application does not take the rest, and nobody waits for it any longer. */
  giveUp(why: string): void {
    this.#fail(new HboneError('aborted', `the rest of the tunnel is dropped: ${why}`, { source: 'internal' }))
  }

  /** What it holds is too much beside all others: RST_STREAM and RST, with no orderly end to either side. */
  relieve(why: string): void {
    this.#fail(
      new HboneError('aborted', `the tunnel was reset: ${why}`, { source: 'internal' }),
      ErrorCode.enhanceYourCalm,
    )
  }

  /** RST_STREAM; for the application an orderly end. */
  reset(h2Code: number): void {
    if (this.#isOver) return
    this.head = undefined
    this.#sendReset(h2Code)
    this.#part()
    // Nobody will ask for what was received.
    if (this.#app.isAwaited) this.#complete()
  }

  /**
   * Nobody wants this tunnel any more, before its data phase. With END_STREAM where the peer has ended too: many servers count
   * resets and close a connection that has too many.
   */
  decline(): void {
    this.head = undefined
    if (this.remoteEnded) this.#endSending()
    this.reset(ErrorCode.cancel)
  }

  /** The peer violated the protocol on this stream: RST_STREAM to it, RST to the application. */
  breakOff(h2Code: number): void {
    this.#fail(new HboneError('h2', `the peer violated the protocol: ${nameOfCode(h2Code)}`), h2Code)
  }

  /** Called now and then while it lingers: the second call ends it. */
  stopLingering(): void {
    if (this.#hasLingered) this.reset(ErrorCode.cancel)
    this.#hasLingered = true
  }

  #written(result: Written, length: number): void {
    if (result === 'taken') this.#credit.taken(length)
    else if (result === 'failed') this.#loseApp()
    else if (result === 'nobody') this.reset(ErrorCode.cancel) // Nobody will ever take it: the peer should stop.
  }

  #endSending(): void {
    if (this.#localEnded) return
    this.#localEnded = true
    this.#host.send.endStream(this.id)
    this.#settle()
  }

  /** The application is gone without a FIN. For the peer it ended; what it still sends is for nobody. */
  #loseApp(): void {
    if (!this.#app.isAttached) return
    this.#appHasEnded = true
    this.#app.lose()
    this.#credit.drop()
    if (this.stash === undefined) this.#endSending()
    this.#settle()
    if (!this.#isOver) this.#host.streams.linger(this)
  }

  /** Over as soon as both directions have ended and the application took everything. */
  #settle(): void {
    if (this.#isOver || !this.#localEnded) return
    if (this.#app.isGone) this.#finished?.resolve()
    if (!this.remoteEnded || this.#app.isAwaited) return
    if (this.#app.pendingBytes === 0) this.#complete()
    else if (this.#peerHasLeft) this.#host.leftovers.add(this)
  }

  /** Nothing more goes to the peer or comes from it, while what was received completely is still for the application. */
  #part(): void {
    if (this.#isOver) return
    this.#dropStash()
    this.#endBoth()
    this.#peerHasLeft = true
    this.#settle()
  }

  #complete(): void {
    this.#isOver = true
    this.#app.close()
    this.#release()
    this.#finished?.resolve()
  }

  /** Both sides end at once, and what the application did not take is dropped. */
  #fail(error: HboneError | IoError, h2Code?: number, resetApp = true): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#failure = error
    if (h2Code !== undefined) this.#sendReset(h2Code)
    this.#endBoth()
    // RST to the application where bytes may be missing: FIN would pass the torn stream off as a complete one.
    this.#app.close(resetApp)
    this.#release()
    const head = this.head
    this.head = undefined
    if (error instanceof HboneError) head?.onLost(error)
    this.#finished?.reject(error)
  }

  #endBoth(): void {
    this.#localEnded = true
    this.#credit.end()
  }

  #release(): void {
    this.#dropStash()
    this.#credit.drop()
    if (this.#peerHasLeft) this.#host.leftovers.remove(this)
    this.#host.streams.remove(this)
  }

  /** Nothing more of the application is sent. */
  #dropStash(): void {
    this.#host.send.forget(this)
    this.stash?.release()
    this.stash = undefined
  }

  #sendReset(h2Code: number): void {
    if (this.#localEnded && this.remoteEnded) return
    this.#host.streams.sendReset(this.id, h2Code)
  }
}
