import { STATIC_TABLE, type HeaderField } from './static-table.ts'

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
  // One string and one call that writes it: 0.43 µs for the five fields of a CONNECT, with a call for each text 0.54.
  let block = ''
  for (const [name, value] of fields) {
    const known = staticNames.get(name)
    const index = known && known.values.size > 0 ? known.values.get(value) : undefined
    if (index !== undefined) block += integer(0x80, 7, index)
    else block += integer(0x00, 4, known?.index ?? 0) + (known ? '' : text(name)) + text(value)
  }
  return Buffer.from(block, 'latin1')
}

/** RFC 7541 §5.2. */
function text(value: string): string {
  return integer(0x00, 7, value.length) + value
}

/** RFC 7541 §5.1, an octet a character. */
function integer(flags: number, prefixBits: number, value: number): string {
  const max = (1 << prefixBits) - 1
  if (value < max) return String.fromCharCode(flags | value)
  let octets = String.fromCharCode(flags | max)
  let rest = value - max
  for (; rest >= 0x80; rest >>>= 7) octets += String.fromCharCode((rest & 0x7f) | 0x80)
  return octets + String.fromCharCode(rest)
}
