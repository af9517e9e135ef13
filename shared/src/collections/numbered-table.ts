import { randomInt } from 'node:crypto'

/** What a NumberedTable holds. */
export interface Numbered {
  readonly id: number
}

const FIRST_CAPACITY = 8

/**
 * Objects by number, for what comes and goes with every connection: a Map would keep them from the collector (see PlacedSet).
 * Numbers are positive integers of 31 bits. It takes the memory of the most that it ever held.
 */
export class NumberedTable<T extends Numbered> {
  /** Open addressing with linear probing; at most half full. */
  #slots: (T | undefined)[] = emptySlots(FIRST_CAPACITY)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): T | undefined {
    return this.#slots[this.#find(id)]
  }

  /** The id must not be in the table. */
  add(item: T): void {
    if (2 * (this.#size + 1) > this.#slots.length) this.#grow()
    this.#slots[this.#find(item.id)] = item
    this.#size++
  }

  /** False where there is none. */
  delete(id: number): boolean {
    let hole = this.#find(id)
    if (this.#slots[hole] === undefined) return false
    this.#size--
    const mask = this.#slots.length - 1
    // Whoever was put further on because this place was taken moves up.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const item = this.#slots[at]
      if (item === undefined) break
      const home = homeOf(item.id, mask)
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.#slots[hole] = item
      hole = at
    }
    this.#slots[hole] = undefined
    return true
  }

  /** A copy, so that items may be added and deleted meanwhile. */
  list(): T[] {
    return this.#slots.filter((item) => item !== undefined)
  }

  /** Where it is, or where it would be put. */
  #find(id: number): number {
    const mask = this.#slots.length - 1
    let at = homeOf(id, mask)
    for (let item = this.#slots[at]; item !== undefined && item.id !== id; item = this.#slots[at]) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const items = this.#slots
    this.#slots = emptySlots(2 * items.length)
    for (const item of items) if (item !== undefined) this.#slots[this.#find(item.id)] = item
  }
}

/** Odd, and a secret of this process: a peer that chooses ids which share a place cost five times as much for each frame. */
const FACTOR = 2 * randomInt(2 ** 31) + 1

/** Multiplicative hashing: the upper bits of the product, as many as the mask has. */
function homeOf(id: number, mask: number): number {
  return Math.imul(id, FACTOR) >>> Math.clz32(mask)
}

function emptySlots<T>(capacity: number): (T | undefined)[] {
  return Array.from({ length: capacity }, () => undefined)
}
