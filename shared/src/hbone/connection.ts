import type { PortOwner, SecureOwner, SecurePort, Slab, TcpEnd, TcpPort } from '../io/index.ts'
import { AbuseGuard } from './abuse-guard.ts'
import { ConnectionError, violation } from './connection-error.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { Contention } from './contention.ts'
import { Delivery } from './delivery.ts'
import { ErrorCode, nameOfCode } from './error-code.ts'
import { FrameDispatch, type FrameHost } from './frame-dispatch.ts'
import { FrameReader } from './frame-reader.ts'
import { CLIENT_PREFACE, FrameType, MAX_STREAM_ID } from './frames.ts'
import type { ReceivedHeaders } from './header-assembly.ts'
import { faultOfTrailers } from './header-list.ts'
import type { HboneError } from './hbone-error.ts'
import type { Leftovers } from './leftovers.ts'
import type { HboneLimits } from './limits.ts'
import { PeerWatch } from './peer-watch.ts'
import { ReadingTurn } from './reading-turn.ts'
import { SendScheduler } from './send-scheduler.ts'
import { encodeSettings } from './settings.ts'
import { Shutdown, type ConnectionState } from './shutdown.ts'
import { StreamTable } from './stream-table.ts'
import { TunnelStream, type StreamHead, type StreamHost } from './tunnel-stream.ts'

/** After an error, this much more is read and dropped so that the peer can read our GOAWAY; then the connection is cut. */
const MAX_DISCARDED_BYTES = 262_144

/**
 * One HTTP/2 connection for tunnels over TLS, either role: its streams, its beginning and its end. What comes in is judged by
 * FrameDispatch, what goes out is ordered by SendScheduler; bytes of a stream pass through neither map nor closure here.
 */
export class HboneConnection implements SecureOwner, FrameHost, StreamHost {
  readonly role: 'client' | 'server'
  readonly limits: HboneLimits
  readonly guard: AbuseGuard
  readonly send: SendScheduler
  readonly contention = new Contention()
  readonly delivery = new Delivery()
  readonly leftovers: Leftovers
  readonly streams: StreamTable
  /** Resolves, never rejects, when the connection is closed and every stream has ended. */
  readonly closed: Promise<void>
  readonly #options: ConnectionOptions
  readonly #port: SecurePort
  readonly #dispatch: FrameDispatch
  readonly #reader: FrameReader
  readonly #watch: PeerWatch
  readonly #turn = new ReadingTurn()
  readonly #shutdown: Shutdown
  readonly #resolveClosed: () => void
  #discardedBytes = 0

  constructor(options: ConnectionOptions) {
    const { role, port, io, limits, clock } = options
    this.#options = options
    this.role = role
    this.limits = limits
    this.leftovers = options.leftovers
    this.#port = port
    this.guard = new AbuseGuard(limits, clock)
    this.send = new SendScheduler({
      clock,
      port,
      slabs: io.slabs,
      readSlabs: io.readSlabs,
      memory: options.memory,
      bulkBudget: io.bulkBudget,
      contention: this.contention,
      maxQueuedControlBytes: limits.maxQueuedControlBytes,
      onOverflow: () =>
        setImmediate(() =>
          this.#fail(new ConnectionError(ErrorCode.enhanceYourCalm, 'the peer makes us answer and does not read')),
        ),
      onDataFrame: () => this.guard.earnWindowUpdates(),
    })
    this.streams = new StreamTable({
      streamWindowBytes: limits.streamWindowBytes,
      maxHeldBytes: limits.maxHeldBytes,
      send: this.send,
      memory: options.memory,
      onRemoved: () => this.#streamRemoved(),
      onRoom: () => {
        if (this.state !== 'closed') this.#dispatch.onRoom()
      },
    })
    this.#dispatch = new FrameDispatch(this)
    this.#reader = new FrameReader(this.#dispatch, {
      expectPreface: role === 'server',
      maxFrameBytes: limits.maxFrameBytes,
    })
    this.#watch = new PeerWatch({
      clock,
      limits,
      sendPing: (payload) => this.send.frame(FrameType.ping, 0, 0, payload),
      onNoSettings: () => {
        const message = `no SETTINGS, or no ACK of ours, within ${limits.settingsTimeoutMs} ms`
        this.#fail(new ConnectionError(ErrorCode.settingsTimeout, message))
      },
      onDead: () => this.#shutdown.close('the peer does not answer PING'),
      onTick: () => {
        this.streams.tick()
        options.hooks.onTick()
      },
    })
    this.#shutdown = new Shutdown({
      role,
      clock,
      closeTimeoutMs: limits.closeTimeoutMs,
      send: this.send,
      ids: this.streams.ids,
      streams: this.streams,
      endPort: () => port.end(),
      loseStreams: (why) => this.#loseStreams(why),
      onClosing: () => this.#watch.stop(),
      onClosed: (why) => this.#release(why),
      onChange: () => options.hooks.onChange(),
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.closed = promise
    this.#resolveClosed = resolve
    options.memory.add(this)
  }

  get state(): ConnectionState {
    return this.#shutdown.state
  }

  /** The peer's SETTINGS have come. */
  get knowsPeer(): boolean {
    return this.#dispatch.hasSettings
  }

  get peerMaxStreams(): number {
    return this.#dispatch.peer.maxConcurrentStreams
  }

  /** Memory held for the peer: frames to be written and bytes that applications have yet to take. */
  get bufferedBytes(): number {
    return this.send.bufferedBytes + this.streams.bufferedBytes
  }

  /** Sends our preface and begins to read. Once. */
  start(): void {
    this.#watch.start()
    if (this.role === 'client') this.send.preface(CLIENT_PREFACE)
    this.send.frame(FrameType.settings, 0, 0, encodeSettings(this.role, this.limits))
    const credit = this.#dispatch.initialCredit
    if (credit > 0) this.send.numberFrame(FrameType.windowUpdate, 0, credit)
    this.#port.start(this)
  }

  /** Client: begins a stream; the caller checks that the connection is open and the peer takes one more. */
  open(head: StreamHead, block: Buffer): TunnelStream {
    const id = this.streams.ids.next()
    this.guard.streamOpened()
    const stream = this.#addStream(id)
    stream.head = head
    stream.sendHead(block)
    // Ids are used up after a thousand million streams: retire in time.
    if (id >= MAX_STREAM_ID - 2) this.drain()
    return stream
  }

  /** Graceful end: no new streams, the last one's end closes the connection. Idempotent. */
  drain(): void {
    this.#shutdown.drain()
  }

  /** Ends everything at once; open tunnels end with `reason`. Idempotent. */
  destroy(reason?: HboneError): void {
    for (const stream of this.streams.list()) stream.abort(reason)
    this.#shutdown.close('the connection was ended on this side')
  }

  // ---- SecureOwner

  onBytes(slab: Slab, start: number, end: number, more: boolean): void {
    if (this.#shutdown.isClosing) {
      this.#discardedBytes += end - start
      if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.#shutdown.close('the peer sends on after the end')
      return
    }
    try {
      this.#reader.feed(slab, start, end)
      this.delivery.batchEnded(more)
      const isContended = this.contention.isPresent
      const { headerBytes } = this.#dispatch
      if (this.#turn.isOver(this.#reader.frames, headerBytes, end - start, isContended)) this.#letOthers()
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      this.#fail(error)
    }
  }

  /** Reading goes on in the next turn of the loop. */
  #letOthers(): void {
    this.#port.pause()
    setImmediate(() => this.#port.resume())
  }

  onWritten(): void {
    this.send.onWritten()
  }

  onClosed(why: string | undefined): void {
    this.#shutdown.close(why === undefined ? 'the peer closed the connection' : `the connection was lost: ${why}`)
  }

  // ---- FrameHost

  onHeaders(received: ReceivedHeaders): void {
    const { streamId, tooLarge } = received
    const stream = this.streams.get(streamId)
    if (stream !== undefined) this.#onMoreHeaders(stream, received)
    else if (this.role === 'server') this.#onRequest(received)
    else if (this.streams.ids.isIdle(streamId)) {
      throw violation(`HEADERS on stream ${streamId}, which was not opened`)
    } else {
      // The answer to a stream that we have given up: one for each is ordinary, many more are not.
      this.guard.lateAnswer()
      this.#dropHeaders(tooLarge)
    }
  }

  onSettings(): void {
    this.#watch.settingsReceived()
    this.#options.hooks.onChange()
  }

  onSettingsAck(): void {
    if (!this.#watch.settingsAcknowledged()) this.guard.idleFrame()
  }

  onPingAnswer(payload: Buffer): void {
    if (!this.#shutdown.pingAnswered(payload) && !this.#watch.pingAnswered(payload)) this.guard.idleFrame()
  }

  onGoaway(lastStreamId: number, h2Code: number): void {
    this.guard.idleFrame()
    // Before streams are lost: whoever opens them anew must not do so here.
    this.#shutdown.peerDrains()
    if (this.role === 'server') return
    for (const stream of this.streams.list()) {
      if (stream.id > lastStreamId) stream.lose(`the peer is going away: ${nameOfCode(h2Code)}`, true)
    }
  }

  // ---- StreamHost

  get windowBytes(): number {
    const { streamWindowBytes, contendedWindowBytes } = this.limits
    if (!this.contention.isPresent) return streamWindowBytes
    return Math.min(streamWindowBytes, contendedWindowBytes * Math.max(1, this.#watch.roundTripMs))
  }

  attach(end: TcpEnd, owner: PortOwner): TcpPort {
    return this.#options.io.attach(end, owner)
  }

  // ---- streams

  #addStream(id: number): TunnelStream {
    const stream = new TunnelStream(this, id, this.#dispatch.peer.initialWindow, this.limits.streamWindowBytes)
    this.streams.add(stream)
    return stream
  }

  #onRequest({ streamId, fields, endStream, tooLarge }: ReceivedHeaders): void {
    if (streamId % 2 === 0) throw violation(`a client opens stream ${streamId}`)
    if (streamId <= this.streams.ids.highest) {
      if (this.streams.wasReset(streamId)) {
        // Trailers, perhaps, sent before our reset was read: once for a stream.
        this.guard.idleFrame()
        this.#dropHeaders(tooLarge)
        return
      }
      // An id that was passed over is closed as well, but HEADERS on it would open a stream below one that is open, for which
      // §5.1.1 demands PROTOCOL_ERROR; on a stream that was used §5.1 allows STREAM_CLOSED, which says more.
      const code = this.streams.ids.wasPassedOver(streamId) ? ErrorCode.protocolError : ErrorCode.streamClosed
      throw new ConnectionError(code, `HEADERS on stream ${streamId}, which is closed`)
    }
    this.streams.ids.open(streamId)
    if (!this.#shutdown.admits(streamId) || this.streams.size >= this.limits.maxConcurrentStreams) {
      // Costs the peer as much as a stream that it resets itself.
      this.guard.peerReset(false)
      this.#dropHeaders(tooLarge)
      this.streams.sendReset(streamId, ErrorCode.refusedStream)
      return
    }
    const stream = this.#addStream(streamId)
    if (endStream) stream.receiveEnd()
    this.#options.hooks.onRequest(stream, fields, tooLarge)
  }

  /** A list for nobody. One above the limit, which the peer knows, costs it as much as where it makes us reset a stream. */
  #dropHeaders(tooLarge: boolean): void {
    if (tooLarge) this.guard.causedReset()
  }

  /** The response on a client; trailers otherwise, of which only the end matters here. */
  #onMoreHeaders(stream: TunnelStream, { fields, endStream, tooLarge }: ReceivedHeaders): void {
    const isResponse = this.role === 'client' && stream.head !== undefined
    if (stream.remoteEnded) this.#breakOff(stream, ErrorCode.streamClosed)
    else if (tooLarge) this.#breakOff(stream, ErrorCode.enhanceYourCalm)
    else if (isResponse) stream.head?.onHeaders(fields, endStream)
    else if (!endStream || faultOfTrailers(fields) !== undefined) this.#breakOff(stream, ErrorCode.protocolError)
    else {
      this.delivery.flush(stream)
      stream.receiveEnd()
    }
  }

  #breakOff(stream: TunnelStream, h2Code: number): void {
    this.guard.causedReset()
    stream.breakOff(h2Code)
  }

  // ---- the end

  #streamRemoved(): void {
    this.#options.hooks.onChange()
    if (this.state === 'closed') this.#settle()
    else this.#shutdown.closeIfDrained()
  }

  #fail(error: ConnectionError): void {
    if (this.#shutdown.isClosing) return
    this.#options.log.debug(`HBONE connection ended: ${error.message}`, { code: nameOfCode(error.h2Code) })
    this.#shutdown.fail(error.h2Code, `connection error: ${error.message}`)
  }

  /** What was received completely still reaches the applications. */
  #loseStreams(why: string): void {
    this.delivery.flushAll()
    for (const stream of this.streams.list()) stream.lose(why)
  }

  /** Everything that belongs to it. */
  #release(why: string): void {
    this.#watch.stop()
    this.#port.destroy()
    this.send.stop()
    this.#loseStreams(why)
    this.#options.hooks.onChange()
    this.#settle()
  }

  #settle(): void {
    if (this.streams.size === 0) this.#resolveClosed()
  }
}
