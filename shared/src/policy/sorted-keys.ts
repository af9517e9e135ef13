/** Keys of a chunk before it is split in two. */
const CHUNK = 512

/** Texts in the order of `<`. Adding and removing one costs about a microsecond, also among 100,000. */
export class SortedKeys {
  /** None is empty, and each ends before the next begins. */
  readonly #chunks: string[][] = []

  /** The caller adds a key once. */
  add(key: string): void {
    const at = Math.min(this.#chunkOf(key), Math.max(0, this.#chunks.length - 1))
    const chunk = this.#chunks[at]
    if (!chunk) {
      this.#chunks.push([key])
      return
    }
    chunk.splice(placeIn(chunk, key), 0, key)
    if (chunk.length > CHUNK) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK / 2))
  }

  /** Nothing where it is not there. */
  delete(key: string): void {
    const at = this.#chunkOf(key)
    const chunk = this.#chunks[at]
    const place = chunk ? placeIn(chunk, key) : 0
    if (!chunk || chunk[place] !== key) return
    chunk.splice(place, 1)
    if (chunk.length === 0) this.#chunks.splice(at, 1)
  }

  *[Symbol.iterator](): Generator<string> {
    for (const chunk of this.#chunks) yield* chunk
  }

  /** The first chunk that ends with this key or a later one; their number where none does. */
  #chunkOf(key: string): number {
    return firstWhere(this.#chunks.length, (at) => (this.#chunks[at]?.at(-1) ?? '') >= key)
  }
}

function placeIn(chunk: readonly string[], key: string): number {
  return firstWhere(chunk.length, (at) => (chunk[at] ?? '') >= key)
}

/** The first index for which `holds`, which from some index on always does; `length` where for none. */
function firstWhere(length: number, holds: (index: number) => boolean): number {
  let [low, high] = [0, length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
