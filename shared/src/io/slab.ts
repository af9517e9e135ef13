/**
 * A piece of memory on loan. The receiver of a slab may read it during the call only, unless it calls `retain` first; every
 * `retain` needs one `release`. Memory that nobody holds is written over.
 */
export interface Slab {
  readonly bytes: Buffer
  retain(): void
  release(): void
}

/** Memory that belongs to the garbage collector: retain and release have nothing to do. */
export class HeapSlab implements Slab {
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  retain(): void {}

  release(): void {}
}

/** A slab that goes back to its pool when its last holder releases it. */
export class PooledSlab implements Slab {
  readonly bytes: Buffer
  readonly #pool: SlabPool
  #holders = 0

  constructor(pool: SlabPool, size: number) {
    this.#pool = pool
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  /** How many hold it now. */
  get holders(): number {
    return this.#holders
  }

  retain(): void {
    this.#holders++
  }

  release(): void {
    if (--this.#holders === 0) this.#pool.takeBack(this)
  }
}

/**
 * Slabs of one size, used again and again. At most `maxIdle` are kept for later; a burst beyond that is left to the garbage
 * collector, so the pool itself never pins more than maxIdle × size bytes.
 */
export class SlabPool {
  readonly size: number
  readonly #maxIdle: number
  readonly #idle: PooledSlab[] = []
  #lent = 0

  constructor(size: number, maxIdle: number) {
    this.size = size
    this.#maxIdle = maxIdle
  }

  /** Slabs that somebody holds at present. */
  get lent(): number {
    return this.#lent
  }

  /** A slab with one holder: the caller, who releases it. */
  take(): PooledSlab {
    const slab = this.#idle.pop() ?? new PooledSlab(this, this.size)
    slab.retain()
    this.#lent++
    return slab
  }

  /** Called by the slab when its last holder is gone. */
  takeBack(slab: PooledSlab): void {
    this.#lent--
    if (this.#idle.length < this.#maxIdle) this.#idle.push(slab)
  }
}
