const REMEMBERED = 256

/**
 * The streams that we reset last. Their peer may send frames until it has read our RST_STREAM (RFC 9113 §5.1), which is no
 * fault of its; frames on streams that closed otherwise are. One kilobyte once used, whatever the peer does.
 */
export class ResetMemory {
  #ids: Int32Array | undefined
  #next = 0

  add(streamId: number): void {
    this.#ids ??= new Int32Array(REMEMBERED)
    this.#ids[this.#next] = streamId
    this.#next = (this.#next + 1) % REMEMBERED
  }

  has(streamId: number): boolean {
    return this.#ids?.includes(streamId) ?? false
  }
}
