const SMALLEST_CHUNK = 1024
const LARGEST_CHUNK = 65_536

/**
 * Bytes that wait, copied into chunks that are filled before a new one is begun, so that a million one-byte appends cost about
 * as much memory as one append of a million bytes. The owner bounds how much it appends (flow control does).
 */
export class ByteQueue {
  readonly #chunks: Buffer[] = []
  /** Free space begins here in the last chunk. */
  #tailEnd = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  append(bytes: Buffer, start: number, end: number): void {
    this.#length += end - start
    const tail = this.#chunks.at(-1)
    if (tail !== undefined) {
      const fits = Math.min(end - start, tail.length - this.#tailEnd)
      bytes.copy(tail, this.#tailEnd, start, start + fits)
      this.#tailEnd += fits
      start += fits
    }
    while (start < end) {
      const doubled = Math.max(
        (this.#chunks.at(-1)?.length ?? 0) * 2,
        SMALLEST_CHUNK,
        Math.min(end - start, LARGEST_CHUNK),
      )
      const chunk = Buffer.allocUnsafeSlow(Math.min(doubled, LARGEST_CHUNK))
      const fits = Math.min(end - start, chunk.length)
      bytes.copy(chunk, 0, start, start + fits)
      this.#chunks.push(chunk)
      this.#tailEnd = fits
      start += fits
    }
  }

  /** Removes and returns the oldest chunk; the caller owns its memory. Undefined when nothing waits. */
  shift(): Buffer | undefined {
    const chunk = this.#chunks.shift()
    if (chunk === undefined) return undefined
    const filled = this.#chunks.length === 0 ? chunk.subarray(0, this.#tailEnd) : chunk
    this.#length -= filled.length
    return filled
  }

  clear(): void {
    this.#chunks.length = 0
    this.#length = 0
  }
}
