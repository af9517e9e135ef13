import type { PooledSlab, SlabPool } from '../slab.ts'

/**
 * Where the next read of one connection lands. An idle connection holds a small slab; one that fills its view moves to a large
 * slab, walks through it while others still hold parts of it, and returns to the small one when it falls quiet, so idle
 * connections pin little memory and busy ones copy nothing.
 */
export class ReceiveRing {
  readonly #small: SlabPool
  readonly #large: SlabPool
  readonly #viewBytes: number
  readonly #quietBytes: number
  #slab: PooledSlab
  #start = 0
  #view: Buffer

  /**
   * `viewBytes`: the most that one read may bring; a large slab has room for several. A read of less than `quietBytes` is
   * taken for the last of many.
   */
  constructor(small: SlabPool, large: SlabPool, viewBytes: number, quietBytes = viewBytes) {
    this.#small = small
    this.#large = large
    this.#viewBytes = viewBytes
    this.#quietBytes = quietBytes
    this.#slab = small.take()
    this.#view = this.#cut()
  }

  /** The slab that holds the last read; it begins at `start`. */
  get slab(): PooledSlab {
    return this.#slab
  }

  get start(): number {
    return this.#start
  }

  /** What the next read fills. */
  get view(): Buffer {
    return this.#view
  }

  /** After `length` bytes were read and offered: returns the view for the next read, or undefined if it stays the same. */
  advance(length: number): Buffer | undefined {
    const filled = length === this.#view.length
    const isSmall = this.#slab.bytes.length < this.#large.size
    const start = this.#slab.holders === 1 ? 0 : this.#start + length
    if (isSmall ? filled || start > 0 : this.#slab.bytes.length - start < this.#viewBytes) this.#swap(this.#large)
    else if (!isSmall && length < this.#quietBytes && start === 0) this.#swap(this.#small)
    else if (start === this.#start) return undefined
    else this.#start = start
    this.#view = this.#cut()
    return this.#view
  }

  /** Gives the memory back. */
  release(): void {
    this.#slab.release()
  }

  #swap(pool: SlabPool): void {
    this.#slab.release()
    this.#slab = pool.take()
    this.#start = 0
  }

  #cut(): Buffer {
    return this.#slab.bytes.subarray(this.#start, this.#start + this.#viewBytes)
  }
}
