import { Buffer } from 'node:buffer'
import { CertificateError } from './certificate-error.ts'

const MIN_PLACES = 64
/** RFC 5280 section 4.1.2.2 has 20; and what is shorter than this has a length of one octet. */
const MAX_OCTETS = 127
const FNV_PRIME = 0x0100_0193
const FNV_START = 0x811c_9dc5

/**
 * A set of serial numbers that stand in the bytes of a revocation list: remembers where, and makes nothing of them. A Set of
 * their texts takes 4 times as long to make as all the rest of reading a list, and 8 MB for 100,000 instead of 1 MB.
 */
export class SerialIndex {
  readonly #bytes: Buffer
  /**
   * Where numbers begin, by hash, in the next free place where that is taken (open addressing); 0 is free. A power of two, at
   * most half full.
   */
  #places: Uint32Array
  #size = 0

  /** There is room for `expected` numbers at once, and for more. */
  constructor(bytes: Buffer, expected: number) {
    this.#bytes = bytes
    let places = MIN_PLACES
    while (places < expected * 2) places *= 2
    this.#places = new Uint32Array(places)
  }

  /** Different numbers. */
  get size(): number {
    return this.#size
  }

  /** Takes in the INTEGER that begins at `at`, which is not 0. Throws CertificateError 'malformed' where it is too long. */
  add(at: number): void {
    const length = this.#bytes[at + 1] ?? 0
    if (length > MAX_OCTETS) throw new CertificateError('malformed', 'a serial number is too long.')
    if ((this.#size + 1) * 2 > this.#places.length) this.#grow()
    const place = this.#placeOf(this.#bytes, this.#from(at), at + 2 + length)
    if (this.#places[place] !== 0) return
    this.#places[place] = at
    this.#size++
  }

  /** `serial` as in ParsedCertificate.serial. */
  has(serial: string): boolean {
    const wanted = Buffer.from(serial, 'hex')
    return this.#places[this.#placeOf(wanted, 0, wanted.length)] !== 0
  }

  /** Where the number stands, or could. */
  #placeOf(bytes: Buffer, from: number, to: number): number {
    const mask = this.#places.length - 1
    let place = hashOf(bytes, from, to) & mask
    for (;;) {
      const at = this.#places[place] ?? 0
      if (at === 0) return place
      if (this.#isAt(at, bytes, from, to)) return place
      place = (place + 1) & mask
    }
  }

  /** Octet by octet, for the first one tells most numbers apart. */
  #isAt(at: number, bytes: Buffer, from: number, to: number): boolean {
    const start = this.#from(at)
    if (at + 2 + (this.#bytes[at + 1] ?? 0) - start !== to - from) return false
    for (let next = from; next < to; next++) if (this.#bytes[start + next - from] !== bytes[next]) return false
    return true
  }

  /** Where the octets of the number that stands at `at` begin, without leading zeros, but for the last octet. */
  #from(at: number): number {
    const last = at + 1 + (this.#bytes[at + 1] ?? 0)
    let from = at + 2
    while (from < last && this.#bytes[from] === 0) from++
    return from
  }

  #grow(): void {
    const old = this.#places
    this.#places = new Uint32Array(old.length * 2)
    for (const at of old) {
      if (at === 0) continue
      const to = at + 2 + (this.#bytes[at + 1] ?? 0)
      this.#places[this.#placeOf(this.#bytes, this.#from(at), to)] = at
    }
  }
}

/** FNV-1a. Who chooses the numbers is the CA, which has no need of collisions to do harm. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let hash = FNV_START
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), FNV_PRIME)
  // The low bits pick the place, and of a product they hang on the low bits of the octets only.
  return hash ^ (hash >>> 15)
}
