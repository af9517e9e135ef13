import { BlockReader } from './block-reader.ts'
import { DynamicTable, fieldBytes } from './dynamic-table.ts'
import { HpackError } from './hpack-error.ts'
import { STATIC_TABLE, type HeaderField } from './static-table.ts'

/** The bounds of an HpackDecoder. */
export interface HpackDecoderOptions {
  /** Our SETTINGS_HEADER_TABLE_SIZE, in bytes (4096 where none was sent). The dynamic table never holds more. */
  readonly maxTableSize: number
  /** Largest header list to hand out, in bytes as RFC 9113 §6.5.2 counts them (name + value + 32 each). */
  readonly maxHeaderListBytes: number
  /** Above this the peer must go: HpackError `header-list-too-large`. Default 4 × maxHeaderListBytes. */
  readonly hardMaxHeaderListBytes?: number
  /**
   * Likewise above so many fields. The octets allow thousands of tiny ones, each of which costs as much work as a long one.
   * Default 1024.
   */
  readonly hardMaxFields?: number
}

/** What a header block says. */
export interface DecodedHeaders {
  /** In the order received; empty when the list is too large. */
  readonly headers: HeaderField[]
  /** The list was above the limit: refuse this stream. The connection may go on, the tables agree. */
  readonly tooLarge: boolean
}

/**
 * RFC 7541 decoder of one direction of one connection. It holds at most `maxTableSize` bytes between blocks, and a block
 * costs work in proportion to its encoded length, not to what it would expand to: past the limit fields are counted,
 * no longer collected. After an HpackError the decoder must not be used again.
 */
export class HpackDecoder {
  readonly #table: DynamicTable
  readonly #maxHeaderListBytes: number
  readonly #hardMaxHeaderListBytes: number
  readonly #hardMaxFields: number
  readonly #maxTableSize: number

  constructor({
    maxTableSize,
    maxHeaderListBytes,
    hardMaxHeaderListBytes = 4 * maxHeaderListBytes,
    hardMaxFields = 1024,
  }: HpackDecoderOptions) {
    this.#maxTableSize = maxTableSize
    this.#table = new DynamicTable(maxTableSize)
    this.#maxHeaderListBytes = maxHeaderListBytes
    this.#hardMaxHeaderListBytes = hardMaxHeaderListBytes
    this.#hardMaxFields = hardMaxFields
  }

  /** Bytes held for the peer between blocks. */
  get tableBytes(): number {
    return this.#table.bytes
  }

  /**
   * Decodes one whole header block, block[start, end): HEADERS and its CONTINUATIONs put together.
   * @throws HpackError when the connection must be closed.
   */
  decode(block: Buffer, start = 0, end = block.length): DecodedHeaders {
    const reader = new BlockReader(block, start, end)
    this.#readResizes(reader)
    const headers: HeaderField[] = []
    let bytes = 0
    for (let fields = 1; !reader.done; fields++) {
      if (fields > this.#hardMaxFields) throw listTooLarge(`has more than ${this.#hardMaxFields} fields`)
      const wanted = bytes <= this.#maxHeaderListBytes
      const field = this.#readField(reader, wanted)
      bytes += typeof field === 'number' ? field : fieldBytes(field[0], field[1])
      if (bytes > this.#hardMaxHeaderListBytes)
        throw listTooLarge(`expands to more than ${this.#hardMaxHeaderListBytes} bytes`)
      if (typeof field !== 'number' && bytes <= this.#maxHeaderListBytes) headers.push(field)
    }
    const tooLarge = bytes > this.#maxHeaderListBytes
    return { headers: tooLarge ? [] : headers, tooLarge }
  }

  /** §6.3: changes of the table's size stand only before the first field. */
  #readResizes(reader: BlockReader): void {
    while (!reader.done && isResize(reader.peek())) {
      const size = reader.integer(5)
      if (size > this.#maxTableSize) throw new HpackError('bad-table-size', 'The peer sizes its table above our limit')
      this.#table.resize(size)
    }
  }

  /** One field; where it is neither wanted nor kept in the table, only (about) its size. */
  #readField(reader: BlockReader, wanted: boolean): HeaderField | number {
    const first = reader.peek()
    if (first >= 0x80) return this.#field(reader.integer(7)) // §6.1 indexed
    if (first >= 0x40) {
      const field = this.#literal(reader, reader.integer(6)) // §6.2.1 literal, kept in the table
      this.#table.insert(field)
      return field
    }
    if (isResize(first)) throw new HpackError('bad-table-size', 'A table size stands after a header field')
    const nameIndex = reader.integer(4) // §6.2.2 and §6.2.3: literal, not kept
    if (wanted) return this.#literal(reader, nameIndex)
    const nameBytes = nameIndex === 0 ? reader.skipString() : this.#field(nameIndex)[0].length
    return nameBytes + reader.skipString() + fieldBytes('', '')
  }

  #literal(reader: BlockReader, nameIndex: number): HeaderField {
    const name = nameIndex === 0 ? reader.string() : this.#field(nameIndex)[0]
    return [name, reader.string()]
  }

  /** §2.3.3: one address space, the static table first. Index 0 is none (§6.1). */
  #field(index: number): HeaderField {
    const field = STATIC_TABLE[index - 1] ?? this.#table.at(index - STATIC_TABLE.length)
    if (!field) throw new HpackError('bad-index', `A header block names field ${index}, which does not exist`)
    return field
  }
}

function isResize(octet: number): boolean {
  return octet >= 0x20 && octet < 0x40
}

function listTooLarge(how: string): HpackError {
  return new HpackError('header-list-too-large', `A header block ${how}`)
}
