import { HeapSlab, type Slab, type SlabPool } from '../io/index.ts'
import type { MemoryShare } from './held-memory.ts'

/**
 * What was read from an application and cannot be sent yet: a copy, in memory that is used again. With a new Buffer for each,
 * 8 bulk streams spent a sixth of the client's CPU on allocating them and on the collections that so much memory sets off.
 * Counted in `share` until it is sent or released.
 */
export class Stash {
  readonly #share: MemoryShare
  #slab: Slab
  #start = 0
  #end: number

  /** Copies `bytes[start..end)`; more than a slab of the pool holds gets memory of its own. */
  constructor(pool: SlabPool, share: MemoryShare, bytes: Buffer, start: number, end: number) {
    this.#share = share
    this.#end = end - start
    share.changed(this.#end)
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
    this.#share.changed(end - start)
    this.#slab.release()
    this.#slab = new HeapSlab(joined)
    this.#start = 0
    this.#end = joined.length
  }

  /** The first `count` bytes are sent. */
  drop(count: number): void {
    this.#start += count
    this.#share.changed(-count)
  }

  /** Gives the memory back. Once, and nothing else after it. */
  release(): void {
    this.#share.changed(-this.length)
    this.#slab.release()
  }
}
