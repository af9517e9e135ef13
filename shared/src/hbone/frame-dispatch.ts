import type { Slab } from '../io/index.ts'
import type { AbuseGuard } from './abuse-guard.ts'
import { ConnectionError, violation, wrongSize } from './connection-error.ts'
import type { Contention } from './contention.ts'
import type { Delivery } from './delivery.ts'
import { ErrorCode } from './error-code.ts'
import { DEFAULT_WINDOW, Flag, FrameType, MAX_WINDOW, PRIORITY_BYTES } from './frames.ts'
import type { FrameSink } from './frame-reader.ts'
import { ReceiveWindow } from './flow-control.ts'
import { HeaderAssembly, type ReceivedHeaders } from './header-assembly.ts'
import type { HboneLimits } from './limits.ts'
import type { SendScheduler } from './send-scheduler.ts'
import { HEADER_TABLE_BYTES, PeerSettings } from './settings.ts'
import type { StreamTable } from './stream-table.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** A SETTINGS frame longer than this has nothing to say. */
const MAX_SETTINGS_BYTES = 6 * 64

/** What of a GOAWAY is read; debug data is not. */
const GOAWAY_BYTES = 8

/** The connection as its inbound frames see it. */
export interface FrameHost {
  readonly role: 'client' | 'server'
  readonly limits: HboneLimits
  readonly guard: AbuseGuard
  readonly send: SendScheduler
  readonly delivery: Delivery
  readonly contention: Contention
  readonly streams: StreamTable
  onHeaders(headers: ReceivedHeaders): void
  onSettings(): void
  onSettingsAck(): void
  onPingAnswer(payload: Buffer): void
  onGoaway(lastStreamId: number, h2Code: number): void
}

/**
 * The receiving half of a connection: every rule of RFC 9113 about an inbound frame. Violations are thrown as ConnectionError;
 * stream errors are answered with RST_STREAM.
 */
export class FrameDispatch implements FrameSink {
  readonly #host: FrameHost
  readonly #headers: HeaderAssembly
  readonly #window: ReceiveWindow
  readonly peer: PeerSettings
  hasSettings = false
  /** The stream of the DATA frame being received; undefined where nobody wants it. */
  #stream: TunnelStream | undefined
  #dataFlags = 0
  #dataLength = 0
  #dataDelivered = 0

  constructor(host: FrameHost) {
    this.#host = host
    this.peer = new PeerSettings(host.role)
    const { maxRequestHeaderBytes, maxResponseHeaderBytes, maxContinuations } = host.limits
    const maxHeaderBytes = host.role === 'server' ? maxRequestHeaderBytes : maxResponseHeaderBytes
    this.#headers = new HeaderAssembly({ maxHeaderBytes, maxContinuations })
    // The protocol's own 65,535 cannot be taken back.
    this.#window = new ReceiveWindow(Math.max(host.limits.connectionWindowBytes, DEFAULT_WINDOW))
  }

  /** What the peer is told at the start, beyond SETTINGS: the connection window has no setting. May be 0. */
  get initialCredit(): number {
    return Math.max(this.#host.limits.connectionWindowBytes - DEFAULT_WINDOW, 0)
  }

  /** Octets of header blocks decoded. */
  get headerBytes(): number {
    return this.#headers.decodedBytes
  }

  /** Applications took data: the credit withheld while too much was held may go out now. */
  onRoom(): void {
    this.#announce(this.#window.release(0))
  }

  // ---- frames begin

  onFrameStart(type: number, flags: number, streamId: number, length: number): number {
    if (!this.hasSettings && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) {
      throw violation('the first frame is not SETTINGS')
    }
    const { openStreamId } = this.#headers
    if (openStreamId !== undefined && (type !== FrameType.continuation || streamId !== openStreamId)) {
      throw violation('a header block is interrupted')
    }
    switch (type) {
      case FrameType.data:
        this.#startData(flags, streamId, length)
        return 0
      case FrameType.headers:
        needStream(type, streamId)
        this.#headers.admitHeaders(flags, length)
        return length
      case FrameType.continuation:
        this.#headers.admitContinuation(length)
        return length
      case FrameType.priority:
        needStream(type, streamId)
        this.#host.guard.idleFrame()
        if (length !== PRIORITY_BYTES) this.#refusePriority(streamId, length)
        return 0
      case FrameType.rstStream:
        needStream(type, streamId)
        return exactly(type, length, 4)
      case FrameType.windowUpdate:
        return exactly(type, length, 4)
      case FrameType.ping:
        needConnection(type, streamId)
        return exactly(type, length, 8)
      case FrameType.goaway:
        needConnection(type, streamId)
        if (length < GOAWAY_BYTES) throw wrongSize(type, length)
        return GOAWAY_BYTES
      case FrameType.settings:
        needConnection(type, streamId)
        if (length % 6 !== 0 || ((flags & Flag.ack) !== 0 && length > 0)) throw wrongSize(type, length)
        if (length > MAX_SETTINGS_BYTES)
          throw new ConnectionError(ErrorCode.enhanceYourCalm, 'a SETTINGS frame of absurd length')
        return length
      case FrameType.pushPromise:
        throw violation('PUSH_PROMISE, which nobody may send here')
      default:
        // Extension frames are ignored (§5.5), but not for ever.
        this.#host.guard.idleFrame()
        return 0
    }
  }

  /** PRIORITY of a wrong size: a stream error (§6.3), but the connection's where no RST_STREAM may be sent (§6.4). */
  #refusePriority(streamId: number, length: number): void {
    if (this.#host.streams.ids.isIdle(streamId)) throw wrongSize(FrameType.priority, length)
    this.#refuse(streamId, ErrorCode.frameSizeError)
  }

  // ---- DATA

  #startData(flags: number, streamId: number, length: number): void {
    needStream(FrameType.data, streamId)
    // Flow control counts the frame whatever becomes of it (§6.9), padding included.
    if (!this.#window.receive(length))
      throw new ConnectionError(ErrorCode.flowControlError, 'the peer exceeds the connection window')
    this.#dataFlags = flags
    this.#dataLength = length
    this.#dataDelivered = 0
    this.#stream = undefined
    const stream = this.#host.streams.get(streamId)
    if (stream === undefined || stream.remoteEnded) {
      this.#refuseData(streamId, length, (flags & Flag.endStream) !== 0)
      return
    }
    // A response begins with HEADERS (§8.1); nobody could take this DATA for as long as we wait for them.
    if (this.#host.role === 'client' && stream.head !== undefined) {
      this.#host.guard.causedReset()
      this.#host.streams.reset(streamId, ErrorCode.protocolError)
      return
    }
    if (!stream.receive(length)) {
      this.#host.guard.causedReset()
      this.#host.streams.reset(streamId, ErrorCode.flowControlError)
      return
    }
    this.#host.contention.frame(stream, length)
    this.#stream = stream
  }

  /** DATA where none may be: on a stream that was never opened, or one that is over. */
  #refuseData(streamId: number, length: number, endStream: boolean): void {
    if (this.#host.streams.ids.isIdle(streamId)) throw violation(`DATA on stream ${streamId}, which is idle`)
    if (this.#host.streams.wasReset(streamId)) this.#host.streams.lateData(streamId, length, endStream)
    else this.#refuse(streamId, ErrorCode.streamClosed)
  }

  /** A stream error; nothing where we reset the stream not long ago. */
  #refuse(streamId: number, h2Code: number): void {
    if (this.#host.streams.wasReset(streamId)) return
    this.#host.guard.causedReset()
    this.#host.streams.reset(streamId, h2Code)
  }

  onDataBytes(slab: Slab, start: number, end: number): void {
    this.#dataDelivered += end - start
    if (this.#stream !== undefined) this.#host.delivery.add(this.#stream, slab, start, end)
  }

  onDataEnd(): void {
    // Credit on the connection is for receiving, not for what applications take: one that takes nothing must not stop the
    // others. What may pile up is bounded by maxHeldBytes, above which credit is withheld.
    this.#announce(this.#window.release(this.#dataLength))
    // Empty, or padding only: work for nothing (CVE-2019-9518).
    if (this.#dataDelivered === 0 && (this.#dataFlags & Flag.endStream) === 0) this.#host.guard.idleFrame()
    const stream = this.#stream
    if (stream === undefined) return
    this.#stream = undefined
    if (this.#dataLength > this.#dataDelivered) stream.receivePadding(this.#dataLength - this.#dataDelivered)
    if ((this.#dataFlags & Flag.endStream) === 0) this.#host.delivery.frameEnded(stream)
    else {
      this.#host.delivery.flush(stream)
      stream.receiveEnd()
    }
  }

  #announce(credit: number): void {
    if (credit === 0) return
    if (this.#host.streams.heldBytes > this.#host.limits.maxHeldBytes) this.#window.withhold(credit)
    else this.#host.send.numberFrame(FrameType.windowUpdate, 0, credit)
  }

  // ---- all other frames

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === FrameType.headers) this.#onBlock(this.#headers.headers(flags, streamId, payload))
    else if (type === FrameType.continuation) this.#onBlock(this.#headers.continuation(flags, payload))
    else if (type === FrameType.rstStream) this.#onReset(streamId, payload.readUInt32BE(0))
    else if (type === FrameType.windowUpdate) this.#onWindowUpdate(streamId, payload.readUInt32BE(0) & MAX_WINDOW)
    else if (type === FrameType.settings) this.#onSettings(flags, payload)
    else if (type === FrameType.ping) this.#onPing(flags, payload)
    else if (type === FrameType.goaway)
      this.#host.onGoaway(payload.readUInt32BE(0) & MAX_WINDOW, payload.readUInt32BE(4))
  }

  #onBlock(received: ReceivedHeaders | undefined): void {
    if (received !== undefined) this.#host.onHeaders(received)
  }

  #onReset(streamId: number, h2Code: number): void {
    if (this.#host.streams.ids.isIdle(streamId)) throw violation(`RST_STREAM on stream ${streamId}, which is idle`)
    const stream = this.#host.streams.get(streamId)
    this.#host.guard.peerReset(stream?.hasCarriedData ?? false)
    if (stream === undefined) return
    this.#host.delivery.flush(stream)
    stream.receiveReset(h2Code)
  }

  #onWindowUpdate(streamId: number, increment: number): void {
    const { guard, send, streams } = this.#host
    guard.windowUpdate()
    if (streamId === 0) {
      if (increment === 0) throw violation('WINDOW_UPDATE of 0')
      if (send.window + increment > MAX_WINDOW)
        throw new ConnectionError(ErrorCode.flowControlError, 'the connection window overflows')
      send.window += increment
      send.connectionWindowOpened()
      return
    }
    if (this.#host.streams.ids.isIdle(streamId)) throw violation(`WINDOW_UPDATE on stream ${streamId}, which is idle`)
    const stream = streams.get(streamId)
    if (stream === undefined) return
    if (increment === 0 || stream.sendWindow + increment > MAX_WINDOW) {
      guard.causedReset()
      this.#host.streams.reset(streamId, increment === 0 ? ErrorCode.protocolError : ErrorCode.flowControlError)
      return
    }
    stream.sendWindow += increment
    send.streamWindowOpened(stream)
  }

  #onSettings(flags: number, payload: Buffer): void {
    if ((flags & Flag.ack) !== 0) {
      this.#host.onSettingsAck()
      return
    }
    if (this.hasSettings) this.#host.guard.answerOwed()
    this.hasSettings = true
    const { send, streams } = this.#host
    const windowBefore = this.peer.initialWindow
    this.peer.apply(payload)
    send.maxFrameBytes = this.peer.maxFrameBytes
    const change = this.peer.initialWindow - windowBefore
    if (change !== 0) {
      for (const stream of streams.list()) {
        if (stream.sendWindow + change > MAX_WINDOW)
          throw new ConnectionError(ErrorCode.flowControlError, 'a stream window overflows')
        stream.sendWindow += change
        send.streamWindowOpened(stream)
      }
    }
    send.frame(FrameType.settings, Flag.ack, 0)
    if (this.peer.headerTableBytes < HEADER_TABLE_BYTES) send.headerTableShrank()
    this.#host.onSettings()
  }

  #onPing(flags: number, payload: Buffer): void {
    if ((flags & Flag.ack) !== 0) {
      this.#host.onPingAnswer(payload)
      return
    }
    this.#host.guard.answerOwed()
    this.#host.send.frame(FrameType.ping, Flag.ack, 0, payload)
  }
}

function needStream(type: number, streamId: number): void {
  if (streamId === 0) throw violation(`a frame of type ${type} on stream 0`)
}

function needConnection(type: number, streamId: number): void {
  if (streamId !== 0) throw violation(`a frame of type ${type} on stream ${streamId}`)
}

function exactly(type: number, length: number, wanted: number): number {
  if (length !== wanted) throw wrongSize(type, length)
  return wanted
}
