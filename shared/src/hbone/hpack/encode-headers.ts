import { STATIC_TABLE, type HeaderField } from './static-table.ts'

/** Most octets that an integer of up to 28 bits takes with its prefix. */
const MAX_INTEGER_BYTES = 5

interface StaticName {
  /** The first field of that name. */
  readonly index: number
  /** Fields of that name by their value; most names have none with one, and then no value need be looked up. */
  readonly values: Map<string, number>
}

const staticNames = new Map<string, StaticName>()
for (const [position, [name, value]] of STATIC_TABLE.entries()) {
  const known = staticNames.get(name) ?? { index: position + 1, values: new Map<string, number>() }
  staticNames.set(name, known)
  if (value !== '') known.values.set(value, position + 1)
}

/**
 * Encodes a header list by the static table and literals "without indexing" (RFC 7541 §6.1, §6.2.2). It never touches the
 * peer's dynamic table, so the block is good for any connection and may be made once and sent many times. No Huffman: a
 * quarter fewer bytes once per tunnel would cost both ends more time than the bytes do. Texts are one octet a character;
 * the caller has checked them.
 */
export function encodeHeaders(fields: readonly HeaderField[]): Buffer {
  let bound = 0
  for (const [name, value] of fields) bound += 3 * MAX_INTEGER_BYTES + name.length + value.length
  const block = Buffer.allocUnsafe(bound)
  let at = 0
  for (const [name, value] of fields) {
    const known = staticNames.get(name)
    const index = known && known.values.size > 0 ? known.values.get(value) : undefined
    if (index !== undefined) {
      at = writeInteger(block, at, 0x80, 7, index)
      continue
    }
    at = writeInteger(block, at, 0x00, 4, known?.index ?? 0)
    if (!known) at = writeString(block, at, name)
    at = writeString(block, at, value)
  }
  return block.subarray(0, at)
}

function writeString(block: Buffer, at: number, text: string): number {
  const start = writeInteger(block, at, 0x00, 7, text.length)
  return start + block.write(text, start, 'latin1')
}

/** RFC 7541 §5.1. Gives the position after it. */
function writeInteger(block: Buffer, at: number, flags: number, prefixBits: number, value: number): number {
  const max = (1 << prefixBits) - 1
  if (value < max) {
    block[at] = flags | value
    return at + 1
  }
  block[at++] = flags | max
  let rest = value - max
  for (; rest >= 0x80; rest >>>= 7) block[at++] = (rest & 0x7f) | 0x80
  block[at++] = rest
  return at
}
