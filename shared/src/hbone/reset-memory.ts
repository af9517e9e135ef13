const REMEMBERED = 256

/**
 * The streams that we reset last. Their peer may send frames until it has read our RST_STREAM (RFC 9113 §5.1), which is no
 * fault of its; frames on streams that closed otherwise are. Two kilobytes once used, whatever the peer does.
 */
export class ResetMemory {
  readonly #windowBytes: number
  #ids: Int32Array | undefined
  /** DATA that may still come, by place in `#ids`: a reset stream gets no more credit. */
  #dataLeft: Int32Array | undefined
  #next = 0

  /** `windowBytes`: the most that can be under way on one stream. */
  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes
  }

  add(streamId: number): void {
    this.#ids ??= new Int32Array(REMEMBERED)
    this.#dataLeft ??= new Int32Array(REMEMBERED)
    this.#ids[this.#next] = streamId
    this.#dataLeft[this.#next] = this.#windowBytes
    this.#next = (this.#next + 1) % REMEMBERED
  }

  has(streamId: number): boolean {
    return this.#ids?.includes(streamId) ?? false
  }

  /**
   * DATA of that length came on a stream that is remembered; with `endStream` nothing may follow, and the stream is forgotten.
   * False when no window could have let so much through.
   */
  takeData(streamId: number, length: number, endStream: boolean): boolean {
    const at = this.#ids?.indexOf(streamId) ?? -1
    if (at < 0 || this.#ids === undefined || this.#dataLeft === undefined) return false
    const left = (this.#dataLeft[at] ?? 0) - length
    this.#dataLeft[at] = left
    if (endStream) this.#ids[at] = 0
    return left >= 0
  }
}
