import type { Slab } from '../io/index.ts'
import { ConnectionError } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import { CLIENT_PREFACE, Flag, FRAME_HEADER_BYTES, FrameType } from './frames.ts'

/** What a frame reader tells. All memory is lent for the call; a data slab may be retained. Methods may throw ConnectionError. */
export interface FrameSink {
  /** A frame begins. Returns how many bytes of its payload to gather for onFrame (0 for DATA); the rest is skipped. */
  onFrameStart(type: number, flags: number, streamId: number, length: number): number
  /** Part of a DATA payload, padding taken away. */
  onDataBytes(slab: Slab, start: number, end: number): void
  onDataEnd(): void
  /** A complete frame other than DATA. */
  onFrame(type: number, flags: number, streamId: number, payload: Buffer): void
}

/**
 * Cuts a byte stream into frames, however it is chopped. DATA is passed on as it comes, without a copy; other payloads are
 * gathered, at most as many bytes as the sink wants.
 */
export class FrameReader {
  /** Frames begun. */
  frames = 0
  readonly #sink: FrameSink
  readonly #maxFrameBytes: number
  /** Bytes of the client preface still to come. */
  #prefaceLeft: number
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  #headerFilled = 0
  #isInFrame = false
  #type = 0
  #flags = 0
  #streamId = 0
  /** Payload bytes still to come, padding included. */
  #left = 0
  /** Of these, padding at the end; -1 while the pad length byte itself is to come. */
  #padding = 0
  #wanted = 0
  #gathered: Buffer | undefined
  #gatheredBytes = 0

  constructor(sink: FrameSink, options: { expectPreface: boolean; maxFrameBytes: number }) {
    this.#sink = sink
    this.#prefaceLeft = options.expectPreface ? CLIENT_PREFACE.length : 0
    this.#maxFrameBytes = options.maxFrameBytes
  }

  /** Throws ConnectionError; the reader must not be used afterwards. */
  feed(slab: Slab, start: number, end: number): void {
    const { bytes } = slab
    let at = this.#prefaceLeft === 0 ? start : this.#skipPreface(bytes, start, end)
    while (at < end) {
      if (!this.#isInFrame) {
        if (this.#headerFilled === 0 && end - at >= FRAME_HEADER_BYTES) {
          this.#begin(bytes, at)
          at += FRAME_HEADER_BYTES
        } else {
          const part = Math.min(FRAME_HEADER_BYTES - this.#headerFilled, end - at)
          bytes.copy(this.#header, this.#headerFilled, at, at + part)
          this.#headerFilled += part
          at += part
          if (this.#headerFilled < FRAME_HEADER_BYTES) return
          this.#headerFilled = 0
          this.#begin(this.#header, 0)
        }
        if (this.#left === 0) this.#finish(bytes, at, at)
        continue
      }
      const part = Math.min(this.#left, end - at)
      this.#left -= part
      if (this.#type === FrameType.data) {
        this.#data(slab, at, at + part)
        if (this.#left === 0) this.#finish(bytes, at, at)
      } else if (this.#left === 0) this.#finish(bytes, at, at + part)
      else this.#gather(bytes, at, at + part)
      at += part
    }
  }

  #skipPreface(bytes: Buffer, start: number, end: number): number {
    const offset = CLIENT_PREFACE.length - this.#prefaceLeft
    const part = Math.min(this.#prefaceLeft, end - start)
    if (bytes.compare(CLIENT_PREFACE, offset, offset + part, start, start + part) !== 0) {
      throw new ConnectionError(ErrorCode.protocolError, 'the connection does not begin with the HTTP/2 preface')
    }
    this.#prefaceLeft -= part
    return start + part
  }

  #begin(b: Buffer, at: number): void {
    const length = (byte(b, at) << 16) | (byte(b, at + 1) << 8) | byte(b, at + 2)
    this.#type = byte(b, at + 3)
    this.#flags = byte(b, at + 4)
    this.#streamId =
      ((byte(b, at + 5) & 0x7f) << 24) | (byte(b, at + 6) << 16) | (byte(b, at + 7) << 8) | byte(b, at + 8)
    if (length > this.#maxFrameBytes) throw new ConnectionError(ErrorCode.frameSizeError, `a frame of ${length} bytes`)
    this.#isInFrame = true
    this.frames++
    this.#left = length
    this.#padding = this.#type === FrameType.data && (this.#flags & Flag.padded) !== 0 ? -1 : 0
    if (this.#padding !== 0 && length === 0)
      throw new ConnectionError(ErrorCode.frameSizeError, 'a padded frame without pad length')
    this.#wanted = this.#sink.onFrameStart(this.#type, this.#flags, this.#streamId, length)
  }

  /** `start..end` is payload; `#left` is already what follows it. */
  #data(slab: Slab, start: number, end: number): void {
    if (this.#padding < 0) {
      this.#padding = byte(slab.bytes, start)
      start++
      if (this.#padding > this.#left + (end - start))
        throw new ConnectionError(ErrorCode.protocolError, 'padding longer than its frame')
    }
    const dataEnd = Math.min(end, end + this.#left - this.#padding)
    if (dataEnd > start) this.#sink.onDataBytes(slab, start, dataEnd)
  }

  #gather(bytes: Buffer, start: number, end: number): void {
    const part = Math.min(end - start, this.#wanted - this.#gatheredBytes)
    if (part <= 0) return
    this.#gathered ??= Buffer.allocUnsafe(this.#wanted)
    bytes.copy(this.#gathered, this.#gatheredBytes, start, start + part)
    this.#gatheredBytes += part
  }

  #finish(bytes: Buffer, start: number, end: number): void {
    this.#isInFrame = false
    if (this.#type === FrameType.data) {
      this.#sink.onDataEnd()
      return
    }
    let payload: Buffer
    if (this.#gathered === undefined) payload = bytes.subarray(start, Math.min(end, start + this.#wanted))
    else {
      this.#gather(bytes, start, end)
      payload = this.#gathered.subarray(0, this.#gatheredBytes)
      this.#gathered = undefined
      this.#gatheredBytes = 0
    }
    this.#sink.onFrame(this.#type, this.#flags, this.#streamId, payload)
  }
}

/** All indices here are inside the buffer: callers have checked that the bytes are there. */
function byte(b: Uint8Array, at: number): number {
  return b[at] ?? 0
}
