import { HeapSlab, type Slab } from '../io/index.ts'

/** A piece this long is passed on at the end of its frame; a shorter one may grow by what is about to be decrypted. */
const FULL_PIECE_BYTES = 32_768

/** Pieces shorter than this are copied together: with 9 octets of frame header between them, each was a write of its own. */
const SMALL_PIECE_BYTES = 1024
/** As much as one TLS record can bring. */
const MAX_COPIED_BYTES = 16_384

/** Where pieces of DATA go. One pending piece is kept in the target itself, so that nothing is allocated per piece. */
export interface DeliveryTarget {
  pendingSlab: Slab | undefined
  pendingStart: number
  pendingEnd: number
  /** The pending slab is memory of the delivery, with small pieces copied together. */
  isPendingCopied: boolean
  /** In the list of those with a pending piece. */
  isListed: boolean
  deliver(slab: Slab, start: number, end: number): void
}

/**
 * Joins pieces of DATA that lie side by side in memory (a frame arrives in TLS records of 16 KB) into one write to the
 * application: a quarter of the system calls for bulk. A small or last piece goes at once.
 *
 * Several small pieces of one target within a batch are copied together and wait for what else this turn of the loop brings: a
 * peer that sends frames of one octet would otherwise cost a system call for each of them, at the expense of all other peers.
 */
export class Delivery {
  #listed: DeliveryTarget[] = []
  #isScheduled = false
  /** Of what is pending, some was copied together. */
  #hasCopied = false
  readonly #runScheduled = (): void => {
    this.#isScheduled = false
    this.flushAll()
  }

  add(target: DeliveryTarget, slab: Slab, start: number, end: number): void {
    const pending = target.pendingSlab
    if (pending === slab && target.pendingEnd === start) {
      target.pendingEnd = end
      return
    }
    if (pending !== undefined) {
      if (end - start < SMALL_PIECE_BYTES && copyTogether(target, pending, slab, start, end)) {
        this.#hasCopied = true
        return
      }
      this.flush(target)
    }
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
    if (!more && !this.#hasCopied) this.flushAll()
    else if (!this.#isScheduled) {
      this.#isScheduled = true
      setImmediate(this.#runScheduled)
    }
  }

  flush(target: DeliveryTarget): void {
    const slab = target.pendingSlab
    if (slab === undefined) return
    target.pendingSlab = undefined
    target.isPendingCopied = false
    target.deliver(slab, target.pendingStart, target.pendingEnd)
    target.pendingEnd = target.pendingStart
    slab.release()
  }

  flushAll(): void {
    this.#hasCopied = false
    if (this.#listed.length === 0) return
    const listed = this.#listed
    this.#listed = []
    for (const target of listed) {
      target.isListed = false
      this.flush(target)
    }
  }
}

/** Appends a small piece to what is pending, which is copied first unless it was. False where that is not small, or full. */
function copyTogether(target: DeliveryTarget, pending: Slab, slab: Slab, start: number, end: number): boolean {
  const filled = target.pendingEnd - target.pendingStart
  const total = filled + end - start
  if (total > MAX_COPIED_BYTES || (!target.isPendingCopied && filled >= SMALL_PIECE_BYTES)) return false
  let { bytes } = pending
  if (!target.isPendingCopied || total > bytes.length) {
    const size = Math.min(Math.max(2 * total, SMALL_PIECE_BYTES), MAX_COPIED_BYTES)
    const copied = new HeapSlab(Buffer.allocUnsafe(size))
    pending.bytes.copy(copied.bytes, 0, target.pendingStart, target.pendingEnd)
    pending.release()
    target.pendingSlab = copied
    target.pendingStart = 0
    target.isPendingCopied = true
    ;({ bytes } = copied)
  }
  slab.bytes.copy(bytes, filled, start, end)
  target.pendingEnd = total
  return true
}
