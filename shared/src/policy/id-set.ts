/** Fewer are kept as a list; so are more where the bits would be the larger. */
const MANY = 256

/** Numbers that each word of bits holds. */
const WORD = 32

/** A set of small whole numbers: a list while they are few, bits when they are many, so that sets are joined word by word. */
export class IdSet {
  readonly #list: number[] = []
  #bits: Uint32Array | undefined
  #size = 0
  /** No number in it is higher. */
  #highest = 0

  get size(): number {
    return this.#size
  }

  /** The caller adds a number once. */
  add(id: number): void {
    this.#size++
    this.#highest = Math.max(this.#highest, id)
    if (!this.#bits) {
      this.#list.push(id)
      if (this.#size > MANY && this.#size * WORD > this.#highest) this.#becomeBits()
      return
    }
    const word = id >>> 5
    if (word >= this.#bits.length) this.#bits = grown(this.#bits, word + 1)
    mark(this.#bits, id)
  }

  /** The caller removes only what is in it. */
  delete(id: number): void {
    this.#size--
    if (this.#bits) {
      clear(this.#bits, id)
      if (this.#size === 0) this.#bits = undefined
      return
    }
    const last = this.#list.pop()
    const at = last === id ? -1 : this.#list.indexOf(id)
    if (last !== undefined && at >= 0) this.#list[at] = last
  }

  /** The numbers in it. */
  get ids(): readonly number[] {
    return this.#bits ? markedIds(this.#bits) : this.#list
  }

  /** Sets the bits of all its numbers; `words` is long enough for them. */
  markIn(words: Uint32Array): void {
    const bits = this.#bits
    if (!bits) for (const id of this.#list) mark(words, id)
    else for (let at = 0; at < bits.length && at < words.length; at++) words[at] = (words[at] ?? 0) | (bits[at] ?? 0)
  }

  /** Clears the bits of all its numbers. */
  clearIn(words: Uint32Array): void {
    const bits = this.#bits
    if (!bits) for (const id of this.#list) clear(words, id)
    else for (let at = 0; at < bits.length && at < words.length; at++) words[at] = (words[at] ?? 0) & ~(bits[at] ?? 0)
  }

  /** Clears the bits of those of its numbers that are in none of the others. */
  clearExcept(words: Uint32Array, others: readonly IdSet[]): void {
    if (this.#size === 0) return
    const cleared = new Uint32Array(words.length)
    this.markIn(cleared)
    for (const other of others) other.clearIn(cleared)
    for (let at = 0; at < words.length; at++) words[at] = (words[at] ?? 0) & ~(cleared[at] ?? 0)
  }

  #becomeBits(): void {
    const bits = new Uint32Array(wordsFor(this.#highest + 1))
    this.#bits = bits
    for (const id of this.#list) mark(bits, id)
    this.#list.length = 0
  }
}

/** Words of bits that `count` numbers from 0 need. */
export function wordsFor(count: number): number {
  return Math.ceil(count / WORD)
}

export function isMarked(words: Uint32Array, id: number): boolean {
  return (((words[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1
}

export function clear(words: Uint32Array, id: number): void {
  const at = id >>> 5
  words[at] = (words[at] ?? 0) & ~(1 << (id & 31))
}

/** How many bits are set. */
export function countMarked(words: Uint32Array): number {
  let count = 0
  for (const word of words) {
    if (word === 0) continue
    let pairs = word - ((word >>> 1) & 0x5555_5555)
    pairs = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333)
    count += Math.imul((pairs + (pairs >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
  }
  return count
}

/** The numbers whose bits are set, in their order. */
export function markedIds(words: Uint32Array): number[] {
  const ids: number[] = []
  for (let at = 0; at < words.length; at++) {
    for (let word = words[at] ?? 0; word !== 0; word &= word - 1) ids.push(at * WORD + 31 - Math.clz32(word & -word))
  }
  return ids
}

function mark(words: Uint32Array, id: number): void {
  const at = id >>> 5
  words[at] = (words[at] ?? 0) | (1 << (id & 31))
}

function grown(words: Uint32Array, atLeast: number): Uint32Array {
  const more = new Uint32Array(Math.max(atLeast, words.length * 2))
  more.set(words)
  return more
}
