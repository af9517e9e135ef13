import { HeapSlab, type Slab, type SlabPool } from '../io/index.ts'

/**
 * What was read from an application and cannot be sent yet: a copy, in memory that is used again. With a new Buffer for each,
 * 8 bulk streams spent a sixth of the client's CPU on allocating them and on the collections that so much memory sets off.
 */
export class Stash {
  #slab: Slab
  #start = 0
  #end: number

  /** Copies `bytes[start..end)`; more than a slab of the pool holds gets memory of its own. */
  constructor(pool: SlabPool, bytes: Buffer, start: number, end: number) {
    this.#end = end - start
    this.#slab = this.#end <= pool.size ? pool.take() : new HeapSlab(Buffer.allocUnsafeSlow(this.#end))
    bytes.copy(this.#slab.bytes, 0, start, end)
  }

  get length(): number {
    return this.#end - this.#start
  }

  /** The bytes are `memory[start..start + length)`; they belong to the stash. */
  get memory(): Buffer {
    return this.#slab.bytes
  }

  get start(): number {
    return this.#start
  }

  append(bytes: Buffer, start: number, end: number): void {
    const joined = Buffer.concat([this.#slab.bytes.subarray(this.#start, this.#end), bytes.subarray(start, end)])
    this.#slab.release()
    this.#slab = new HeapSlab(joined)
    this.#start = 0
    this.#end = joined.length
  }

  /** The first `count` bytes are sent. */
  drop(count: number): void {
    this.#start += count
  }

  /** Gives the memory back. Once, and nothing else after it. */
  release(): void {
    this.#slab.release()
  }
}
