import type { HeaderField } from './static-table.ts'

/** What each entry costs beyond its octets (RFC 7541 §4.1); it also bounds the count of entries to size / 32. */
const ENTRY_OVERHEAD_BYTES = 32

/** The size of a field in a dynamic table (RFC 7541 §4.1) and in a header list (RFC 9113 §6.5.2). */
export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES
}

/** RFC 7541 §2.3.2: the latest fields that the peer chose to name by index, oldest evicted first, never above `capacity`. */
export class DynamicTable {
  /** Oldest first, so that index 1 (the newest) is the last element. */
  readonly #entries: HeaderField[] = []
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
    return this.#entries[this.#entries.length - age]
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
    let evicted = 0
    for (const [name, value] of this.#entries) {
      if (this.#bytes <= bytes) break
      this.#bytes -= fieldBytes(name, value)
      evicted++
    }
    if (evicted > 0) this.#entries.splice(0, evicted)
  }
}
