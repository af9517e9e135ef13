import type { Slab } from '../io/index.ts'

/** A piece this long is passed on at the end of its frame; a shorter one may grow by what is about to be decrypted. */
const FULL_PIECE_BYTES = 32_768

/** Where pieces of DATA go. One pending piece is kept in the target itself, so that nothing is allocated per piece. */
export interface DeliveryTarget {
  pendingSlab: Slab | undefined
  pendingStart: number
  pendingEnd: number
  /** In the list of those with a pending piece. */
  isListed: boolean
  deliver(slab: Slab, start: number, end: number): void
}

/**
 * Joins pieces of DATA that lie side by side in memory (a frame arrives in TLS records of 16 KB) into one write to the
 * application: a quarter of the system calls for bulk. Small and last pieces go at once.
 */
export class Delivery {
  #listed: DeliveryTarget[] = []
  #isScheduled = false
  readonly #runScheduled = (): void => {
    this.#isScheduled = false
    this.flushAll()
  }

  add(target: DeliveryTarget, slab: Slab, start: number, end: number): void {
    if (target.pendingSlab === slab && target.pendingEnd === start) {
      target.pendingEnd = end
      return
    }
    this.flush(target)
    slab.retain()
    target.pendingSlab = slab
    target.pendingStart = start
    target.pendingEnd = end
    if (target.isListed) return
    target.isListed = true
    this.#listed.push(target)
  }

  /** A DATA frame of this target is complete. */
  frameEnded(target: DeliveryTarget): void {
    if (target.pendingEnd - target.pendingStart >= FULL_PIECE_BYTES) this.flush(target)
  }

  /** Everything decrypted so far was parsed; `more` follows at once. */
  batchEnded(more: boolean): void {
    if (this.#listed.length === 0) return
    if (!more) this.flushAll()
    else if (!this.#isScheduled) {
      this.#isScheduled = true
      setImmediate(this.#runScheduled)
    }
  }

  flush(target: DeliveryTarget): void {
    const slab = target.pendingSlab
    if (slab === undefined) return
    target.pendingSlab = undefined
    target.deliver(slab, target.pendingStart, target.pendingEnd)
    target.pendingEnd = target.pendingStart
    slab.release()
  }

  flushAll(): void {
    if (this.#listed.length === 0) return
    const listed = this.#listed
    this.#listed = []
    for (const target of listed) {
      target.isListed = false
      this.flush(target)
    }
  }
}
