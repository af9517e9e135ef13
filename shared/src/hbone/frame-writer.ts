import type { PooledSlab, SlabPool } from '../io/index.ts'
import { Flag, FRAME_HEADER_BYTES, FrameType, putFrameHeader, putUint32 } from './frames.ts'

/** HEADERS and CONTINUATION are cut to what every peer takes. */
const HEADER_FRAGMENT_BYTES = 16_384

export interface Batch {
  readonly slab: PooledSlab
  readonly length: number
}

/**
 * Gathers frames until the TLS connection takes the next write: many frames, one SSL_write, one send(2). Memory comes from a
 * pool and goes back with the batch, so an idle connection holds none.
 */
export class FrameWriter {
  readonly #pool: SlabPool
  readonly #full: Batch[] = []
  #slab: PooledSlab | undefined
  #length = 0
  #bytes = 0

  constructor(pool: SlabPool) {
    this.#pool = pool
  }

  /** Bytes that wait. The owner bounds this. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes that are no frame. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length)
    this.#current().set(bytes, at)
  }

  /** A frame whose payload fits in 16 KB. */
  frame(type: number, flags: number, streamId: number, payload?: Uint8Array): void {
    const length = payload?.length ?? 0
    const at = this.#reserve(FRAME_HEADER_BYTES + length)
    const into = this.#current()
    putFrameHeader(into, at, length, type, flags, streamId)
    if (payload !== undefined) into.set(payload, at + FRAME_HEADER_BYTES)
  }

  /** A frame whose payload is one 32-bit number: WINDOW_UPDATE, RST_STREAM. */
  numberFrame(type: number, streamId: number, value: number): void {
    const at = this.#reserve(FRAME_HEADER_BYTES + 4)
    const into = this.#current()
    putFrameHeader(into, at, 4, type, 0, streamId)
    putUint32(into, at + FRAME_HEADER_BYTES, value)
  }

  /** HEADERS, followed by CONTINUATION where the block is longer than one frame. */
  headers(streamId: number, block: Buffer, endStream: boolean): void {
    const endFlag = endStream ? Flag.endStream : 0
    if (block.length <= HEADER_FRAGMENT_BYTES) {
      this.frame(FrameType.headers, Flag.endHeaders | endFlag, streamId, block)
      return
    }
    for (let at = 0; at < block.length; at += HEADER_FRAGMENT_BYTES) {
      const fragment = block.subarray(at, at + HEADER_FRAGMENT_BYTES)
      const isLast = at + HEADER_FRAGMENT_BYTES >= block.length
      const flags = (isLast ? Flag.endHeaders : 0) | (at === 0 ? endFlag : 0)
      this.frame(at === 0 ? FrameType.headers : FrameType.continuation, flags, streamId, fragment)
    }
  }

  /** One DATA frame with a copy of `bytes[start..end)`, at most half a slab. */
  data(streamId: number, bytes: Buffer, start: number, end: number): void {
    const at = this.#reserve(FRAME_HEADER_BYTES + end - start)
    const into = this.#current()
    putFrameHeader(into, at, end - start, FrameType.data, 0, streamId)
    bytes.copy(into, at + FRAME_HEADER_BYTES, start, end)
  }

  /** The oldest batch, for one write; the caller releases its slab. */
  take(): Batch | undefined {
    let batch = this.#full.shift()
    if (batch === undefined) {
      if (this.#slab === undefined) return undefined
      batch = { slab: this.#slab, length: this.#length }
      this.#slab = undefined
      this.#length = 0
    }
    this.#bytes -= batch.length
    return batch
  }

  clear(): void {
    for (let batch = this.take(); batch !== undefined; batch = this.take()) batch.slab.release()
  }

  #reserve(length: number): number {
    if (this.#slab !== undefined && this.#length + length > this.#slab.bytes.length) {
      this.#full.push({ slab: this.#slab, length: this.#length })
      this.#slab = undefined
    }
    if (this.#slab === undefined) {
      this.#slab = this.#pool.take()
      this.#length = 0
    }
    const at = this.#length
    this.#length += length
    this.#bytes += length
    return at
  }

  #current(): Buffer {
    // #reserve has just made sure of it.
    return (this.#slab as PooledSlab).bytes
  }
}
