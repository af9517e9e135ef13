/** A frame below this is a message, or the rest of one; bulk comes in frames of 16 KB (the protocol's own limit) and more. */
const SMALL_FRAME_BYTES = 8192

/** A small frame after so much of the same stream is the rest of a piece of bulk. */
const BULK_BYTES = 32_768

/** For so much further bulk a message is remembered: 0.1 s at 5 Gbit/s. */
const REMEMBERED_BYTES = 64 * 1_048_576

/** A stream as it is seen here. */
export interface Talker {
  readonly isOver: boolean
  /** Bytes since its last small frame: kept here so that no map is needed. */
  bytesSinceSmall: number
}

/**
 * Whether small messages share a connection with bulk, in either direction. All that a bulk stream has under way stands before
 * them: in the sockets' buffers of both sides, for it waits there whenever this process is busy, which it is with bulk.
 */
export class Contention {
  #last: Talker | undefined
  #bytesSinceMessage = Number.POSITIVE_INFINITY

  /** A DATA frame of that stream is sent, or begins to come. */
  frame(stream: Talker, length: number): void {
    this.#bytesSinceMessage += length
    if (length >= SMALL_FRAME_BYTES) stream.bytesSinceSmall += length
    else {
      const last = this.#last
      const isMessage = stream.bytesSinceSmall < BULK_BYTES
      const isBehindBulk = last !== undefined && last !== stream && !last.isOver && last.bytesSinceSmall > 0
      if (isMessage && isBehindBulk) this.#bytesSinceMessage = 0
      stream.bytesSinceSmall = 0
    }
    this.#last = stream
  }

  get isPresent(): boolean {
    return this.#bytesSinceMessage < REMEMBERED_BYTES
  }
}
