import type { NumberedTable } from '../collections/index.ts'
import type { Slab } from '../io/index.ts'
import type { AbuseGuard } from './abuse-guard.ts'
import { ConnectionError } from './connection-error.ts'
import type { Contention } from './contention.ts'
import type { Delivery } from './delivery.ts'
import { ErrorCode } from './error-code.ts'
import { DEFAULT_WINDOW, Flag, FrameType, MAX_WINDOW } from './frames.ts'
import type { FrameSink } from './frame-reader.ts'
import { ReceiveWindow } from './flow-control.ts'
import { HpackDecoder, HpackError, type HeaderField } from './hpack/index.ts'
import type { HboneLimits } from './limits.ts'
import type { SendScheduler } from './send-scheduler.ts'
import { HEADER_TABLE_BYTES, PeerSettings } from './settings.ts'
import type { StreamIds } from './stream-ids.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** A SETTINGS frame longer than this has nothing to say. */
const MAX_SETTINGS_BYTES = 6 * 64

/** The fields of PRIORITY, also at the start of HEADERS with that flag. */
const PRIORITY_BYTES = 5

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
  readonly streams: NumberedTable<TunnelStream>
  /** Received for applications and not yet taken, all streams. */
  readonly heldBytes: number
  readonly ids: StreamIds
  /** We reset that stream not long ago: the peer may not know yet. */
  wasReset(streamId: number): boolean
  /** DATA on such a stream. Throws where it is more than can have been under way. */
  lateData(streamId: number, length: number, endStream: boolean): void
  resetStream(streamId: number, h2Code: number): void
  /** A complete header list on a stream; `tooLarge` when it was above our limit. */
  onHeaders(streamId: number, fields: HeaderField[], endStream: boolean, tooLarge: boolean): void
  onSettings(): void
  onSettingsAck(): void
  onPingAnswer(payload: Buffer): void
  onGoaway(lastStreamId: number, h2Code: number): void
}

interface HeaderBlock {
  readonly streamId: number
  readonly endStream: boolean
  readonly fragments: Buffer[]
  bytes: number
}

/**
 * The receiving half of a connection: every rule of RFC 9113 about an inbound frame. Violations are thrown as ConnectionError;
 * stream errors are answered with RST_STREAM.
 */
export class FrameDispatch implements FrameSink {
  readonly #host: FrameHost
  readonly #hpack: HpackDecoder
  readonly #window: ReceiveWindow
  readonly #maxHeaderBytes: number
  readonly peer: PeerSettings
  hasSettings = false
  /** Octets of header blocks decoded. */
  headerBytes = 0
  /** The header block that CONTINUATION must go on with before anything else. */
  #block: HeaderBlock | undefined
  /** The stream of the DATA frame being received; undefined where nobody wants it. */
  #stream: TunnelStream | undefined
  #dataFlags = 0
  #dataLength = 0
  #dataDelivered = 0

  constructor(host: FrameHost) {
    this.#host = host
    this.peer = new PeerSettings(host.role)
    this.#maxHeaderBytes =
      host.role === 'server' ? host.limits.maxRequestHeaderBytes : host.limits.maxResponseHeaderBytes
    this.#hpack = new HpackDecoder({ maxTableSize: HEADER_TABLE_BYTES, maxHeaderListBytes: this.#maxHeaderBytes })
    // The protocol's own 65,535 cannot be taken back.
    this.#window = new ReceiveWindow(Math.max(host.limits.connectionWindowBytes, DEFAULT_WINDOW))
  }

  /** What the peer is told at the start, beyond SETTINGS: the connection window has no setting. May be 0. */
  get initialCredit(): number {
    return Math.max(this.#host.limits.connectionWindowBytes - DEFAULT_WINDOW, 0)
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
    if (this.#block !== undefined && (type !== FrameType.continuation || streamId !== this.#block.streamId)) {
      throw violation('a header block is interrupted')
    }
    switch (type) {
      case FrameType.data:
        this.#startData(flags, streamId, length)
        return 0
      case FrameType.headers:
        needStream(type, streamId)
        // Too small for the fields that its flags announce (§4.2); padding that leaves too little is judged later (§6.2).
        if (length < mandatoryBytes(flags)) throw wrongSize(type, length)
        this.#admitBlockBytes(length)
        return length
      case FrameType.continuation:
        if (this.#block === undefined) throw violation('CONTINUATION without HEADERS')
        this.#admitBlockBytes(this.#block.bytes + length)
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
    if (this.#host.ids.isIdle(streamId)) throw wrongSize(FrameType.priority, length)
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
      this.#host.resetStream(streamId, ErrorCode.protocolError)
      return
    }
    if (!stream.receive(length)) {
      this.#host.guard.causedReset()
      this.#host.resetStream(streamId, ErrorCode.flowControlError)
      return
    }
    this.#host.contention.frame(stream, length)
    this.#stream = stream
  }

  /** DATA where none may be: on a stream that was never opened, or one that is over. */
  #refuseData(streamId: number, length: number, endStream: boolean): void {
    if (this.#host.ids.isIdle(streamId)) throw violation(`DATA on stream ${streamId}, which is idle`)
    if (this.#host.wasReset(streamId)) this.#host.lateData(streamId, length, endStream)
    else this.#refuse(streamId, ErrorCode.streamClosed)
  }

  /** A stream error; nothing where we reset the stream not long ago. */
  #refuse(streamId: number, h2Code: number): void {
    if (this.#host.wasReset(streamId)) return
    this.#host.guard.causedReset()
    this.#host.resetStream(streamId, h2Code)
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
    if (this.#host.heldBytes > this.#host.limits.maxHeldBytes) this.#window.withhold(credit)
    else this.#host.send.numberFrame(FrameType.windowUpdate, 0, credit)
  }

  // ---- all other frames

  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (type === FrameType.headers) this.#onHeaders(flags, streamId, payload)
    else if (type === FrameType.continuation) this.#onContinuation(flags, payload)
    else if (type === FrameType.rstStream) this.#onReset(streamId, payload.readUInt32BE(0))
    else if (type === FrameType.windowUpdate) this.#onWindowUpdate(streamId, payload.readUInt32BE(0) & MAX_WINDOW)
    else if (type === FrameType.settings) this.#onSettings(flags, payload)
    else if (type === FrameType.ping) this.#onPing(flags, payload)
    else if (type === FrameType.goaway)
      this.#host.onGoaway(payload.readUInt32BE(0) & MAX_WINDOW, payload.readUInt32BE(4))
  }

  #onHeaders(flags: number, streamId: number, payload: Buffer): void {
    const endStream = (flags & Flag.endStream) !== 0
    let start = 0
    let padding = 0
    if ((flags & Flag.padded) !== 0) padding = payload[start++] ?? 0
    if ((flags & Flag.priority) !== 0) start += PRIORITY_BYTES
    const end = payload.length - padding
    if (start > end) throw violation('padding longer than its frame')
    if ((flags & Flag.endHeaders) !== 0) this.#decode(streamId, payload.subarray(start, end), endStream)
    else {
      // The payload is lent: a block that goes on is copied.
      this.#block = { streamId, endStream, fragments: [Buffer.from(payload.subarray(start, end))], bytes: end - start }
    }
  }

  #onContinuation(flags: number, payload: Buffer): void {
    const block = this.#block
    if (block === undefined) return
    block.fragments.push(Buffer.from(payload))
    block.bytes += payload.length
    if ((flags & Flag.endHeaders) !== 0) {
      this.#block = undefined
      this.#decode(block.streamId, Buffer.concat(block.fragments), block.endStream)
    } else if (block.fragments.length > this.#host.limits.maxContinuations) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'a header block in too many pieces')
    }
  }

  #admitBlockBytes(bytes: number): void {
    // 256 + 5: padding and priority fields that may surround the block.
    if (bytes > this.#maxHeaderBytes + 261)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `a header block of ${bytes} bytes`)
  }

  /** Decoded whatever becomes of the stream: the compression state is the connection's. */
  #decode(streamId: number, block: Buffer, endStream: boolean): void {
    this.headerBytes += block.length
    try {
      const { headers, tooLarge } = this.#hpack.decode(block)
      this.#host.onHeaders(streamId, headers, endStream, tooLarge)
    } catch (error) {
      if (!(error instanceof HpackError)) throw error
      const code = error.code === 'header-list-too-large' ? ErrorCode.enhanceYourCalm : ErrorCode.compressionError
      throw new ConnectionError(code, error.message)
    }
  }

  #onReset(streamId: number, h2Code: number): void {
    if (this.#host.ids.isIdle(streamId)) throw violation(`RST_STREAM on stream ${streamId}, which is idle`)
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
    if (this.#host.ids.isIdle(streamId)) throw violation(`WINDOW_UPDATE on stream ${streamId}, which is idle`)
    const stream = streams.get(streamId)
    if (stream === undefined) return
    if (increment === 0 || stream.sendWindow + increment > MAX_WINDOW) {
      guard.causedReset()
      this.#host.resetStream(streamId, increment === 0 ? ErrorCode.protocolError : ErrorCode.flowControlError)
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

function violation(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, what)
}

function wrongSize(type: number, length: number): ConnectionError {
  return new ConnectionError(ErrorCode.frameSizeError, `a frame of type ${type} with ${length} bytes`)
}

/** What HEADERS with these flags have at least, before padding and the block. */
function mandatoryBytes(flags: number): number {
  return ((flags & Flag.padded) === 0 ? 0 : 1) + ((flags & Flag.priority) === 0 ? 0 : PRIORITY_BYTES)
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
