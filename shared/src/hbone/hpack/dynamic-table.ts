import type { HeaderField } from './static-table.ts'

/** What each entry costs beyond its octets (RFC 7541 §4.1); it also bounds the count of entries to size / 32. */
const ENTRY_OVERHEAD_BYTES = 32

/** In the place of an evicted entry, whose text is free to go. */
const NOTHING: HeaderField = ['', '']

/** The size of a field in a dynamic table (RFC 7541 §4.1) and in a header list (RFC 9113 §6.5.2). */
export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES
}

/** RFC 7541 §2.3.2: the latest fields that the peer chose to name by index, oldest evicted first, never above `capacity`. */
export class DynamicTable {
  /** From `#oldest` on the oldest first, so that index 1 (the newest) is the last element. */
  #entries: HeaderField[] = []
  /** Those before it are evicted. They are cut off when they are the half, so that an insertion moves none of the others. */
  #oldest = 0
  #bytes = 0
  #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The entry of that age, 1 for the newest; undefined outside the table. */
  at(age: number): HeaderField | undefined {
    const at = this.#entries.length - age
    return at < this.#oldest ? undefined : this.#entries[at]
  }

  /** Evicts what must go; a field larger than the whole table leaves it empty, which is no error (RFC 7541 §4.4). */
  insert(field: HeaderField): void {
    const size = fieldBytes(field[0], field[1])
    this.#evictAbove(this.#capacity - size)
    if (size > this.#capacity) return
    this.#entries.push(field)
    this.#bytes += size
  }

  resize(capacity: number): void {
    this.#capacity = capacity
    this.#evictAbove(capacity)
  }

  #evictAbove(bytes: number): void {
    while (this.#bytes > bytes && this.#oldest < this.#entries.length) {
      const [name, value] = this.#entries[this.#oldest] as HeaderField // inside the array
      this.#bytes -= fieldBytes(name, value)
      this.#entries[this.#oldest++] = NOTHING
    }
    if (this.#oldest === 0 || 2 * this.#oldest < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#oldest)
    this.#oldest = 0
  }
}
