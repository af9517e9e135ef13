import type { Buffer } from 'node:buffer'
import { CertificateError } from './certificate-error.ts'

/** Tag octets: of the universal types that are walked over, and of `[0]` with elements in it. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  sequence: 0x30,
  context0: 0xa0,
} as const

/** Larger ones have octets of their own behind the first, and occur in nothing that we read. */
const HIGH_TAG = 0x1f
/** Lengths of four octets and more are of no file that we read. */
const MAX_LENGTH_OCTETS = 3

/**
 * Walks over elements of DER one after the other, without making anything of them: for what is long, where the nodes of
 * readDer would cost 20 times as much. Looks at tags and lengths only; throws CertificateError 'malformed' where these are wrong.
 */
export class DerCursor {
  readonly #bytes: Buffer
  readonly #end: number
  /** Where the next element begins. */
  #at: number

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.#bytes = bytes
    this.#at = from
    this.#end = to
  }

  /** Where in the bytes the next element begins, if there is one. */
  get at(): number {
    return this.#at
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#end
  }

  /** Tag octet of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.isAtEnd ? undefined : this.#bytes[this.#at]
  }

  /** Moves past the next element. */
  skip(what: string): void {
    this.#pass(what)
  }

  /** A view of what was moved past since it stood at `at`. */
  since(at: number): Buffer {
    return this.#bytes.subarray(at, this.#at)
  }

  /** Moves past the next element, and returns a view of it. */
  take(what: string): Buffer {
    const { at } = this
    this.#pass(what)
    return this.since(at)
  }

  /** Moves past the next element, and returns a cursor over what is in it. */
  enter(tag: number, what: string): DerCursor {
    const from = this.#open(tag, what)
    return new DerCursor(this.#bytes, from, this.#at)
  }

  /** Moves past the next element, and returns where its content begins. */
  #open(tag: number, what: string): number {
    if (this.tag !== tag) throw missing(what)
    return this.#pass(what)
  }

  #pass(what: string): number {
    const bytes = this.#bytes
    const at = this.#at
    const tag = bytes[at]
    const first = bytes[at + 1]
    if (tag === undefined || first === undefined || at + 2 > this.#end) throw missing(what)
    if ((tag & HIGH_TAG) === HIGH_TAG) throw missing(what)
    let from = at + 2
    let length = first
    if (first >= 0x80) {
      const octets = first & 0x7f
      // None at all: a length that is not said, which DER has not.
      if (octets === 0 || octets > MAX_LENGTH_OCTETS || from + octets > this.#end) throw missing(what)
      length = bytes.readUIntBE(from, octets)
      from += octets
    }
    if (from + length > this.#end) throw missing(what)
    this.#at = from + length
    return from
  }
}

function missing(what: string): CertificateError {
  return new CertificateError('malformed', `No ${what} where one is due.`)
}
