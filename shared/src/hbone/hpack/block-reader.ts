import { HpackError } from './hpack-error.ts'
import { decodeHuffman } from './huffman.ts'

/** Octets after the prefix: 4 × 7 bits hold every size that a header block can honestly name. */
const MAX_INTEGER_OCTETS = 4

/** Reads the primitive types of RFC 7541 §5 from block[start, end), never a byte outside. */
export class BlockReader {
  readonly #block: Buffer
  readonly #end: number
  #at: number

  constructor(block: Buffer, start: number, end: number) {
    this.#block = block
    this.#at = start
    this.#end = end
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  /** The next octet, which stays: it is also the first of the integer that follows. */
  peek(): number {
    if (this.#at >= this.#end) throw truncated()
    return this.#block[this.#at] as number // below the end, which is inside the block
  }

  /** RFC 7541 §5.1 with that many bits of prefix. */
  integer(prefixBits: number): number {
    const max = (1 << prefixBits) - 1
    let value = this.#octet() & max
    if (value < max) return value
    for (let octets = 0; octets < MAX_INTEGER_OCTETS; octets++) {
      const octet = this.#octet()
      value += (octet & 0x7f) << (7 * octets)
      if (octet < 0x80) return value
    }
    throw new HpackError('integer-too-large', 'A header block holds a number of more than 28 bits')
  }

  /** RFC 7541 §5.2. */
  string(): string {
    const isHuffman = this.peek() >= 0x80
    const start = this.#skipped(this.integer(7))
    return isHuffman ? decodeHuffman(this.#block, start, this.#at) : this.#block.toString('latin1', start, this.#at)
  }

  /** Passes over a string without decoding it; gives its length as encoded. */
  skipString(): number {
    const length = this.integer(7)
    this.#skipped(length)
    return length
  }

  #skipped(length: number): number {
    const start = this.#at
    if (length > this.#end - start) throw truncated()
    this.#at = start + length
    return start
  }

  #octet(): number {
    const octet = this.peek()
    this.#at++
    return octet
  }
}

function truncated(): HpackError {
  return new HpackError('truncated', 'A header block ends in the middle of a field')
}
