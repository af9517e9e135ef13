import { HpackError } from './hpack-error.ts'

/**
 * RFC 7541 appendix B as code lengths in bits, 16 symbols a row: the code is canonical (shorter codes first, then by
 * symbol), so lengths say all. The last one is EOS.
 */
const CODE_LENGTHS = `
  13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28
  28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
  6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
  5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
  13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7
  7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
  15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5
  6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
  20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23
  24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
  22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23
  21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
  26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25
  19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
  20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23
  26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
  30`
  .trim()
  .split(/\s+/)
  .map(Number)

const EOS = 256
const SHORTEST_CODE_BITS = 5
/** Padding is the start of EOS (all ones) and shorter than an octet (RFC 7541 §5.2). */
const LONGEST_PADDING_BITS = 7

/**
 * The code as a machine that eats four bits a step. No code is shorter than five bits, so a step ends at most one symbol.
 * A step is packed as: bits 0–7 the next state, bits 8–15 the symbol, then two flags.
 */
const ENDS_SYMBOL = 1 << 16
const REFUSED = 1 << 17
const { steps, mayEnd } = buildMachine()

/**
 * Decodes the Huffman string in block[start, end).
 * @throws HpackError `bad-huffman` for EOS inside the string, or padding that is long or not all ones.
 */
export function decodeHuffman(block: Uint8Array, start: number, end: number): string {
  const decoded = Buffer.allocUnsafe(Math.floor(((end - start) * 8) / SHORTEST_CODE_BITS))
  let length = 0
  let state = 0
  for (let at = start; at < end; at++) {
    const octet = block[at] as number // the caller has checked that end is inside the block
    for (let shift = 4; shift >= 0; shift -= 4) {
      const step = steps[state * 16 + ((octet >> shift) & 15)] as number // 256 states of 16 steps; a state is 8 bits
      if (step & ENDS_SYMBOL) decoded[length++] = (step >> 8) & 0xff
      else if (step & REFUSED) throw new HpackError('bad-huffman', 'A Huffman string holds the end-of-string code')
      state = step & 0xff
    }
  }
  if (!mayEnd[state]) throw new HpackError('bad-huffman', 'A Huffman string ends in padding that is not allowed')
  return decoded.toString('latin1', 0, length)
}

/** Inner nodes are numbered from the root, 0; a child is another inner node, or a symbol as `~symbol`. */
function buildTree(): [number, number][] {
  const root: [number, number] = [0, 0]
  const nodes = [root]
  const symbols = CODE_LENGTHS.map((bits, symbol) => ({ bits, symbol })).sort(
    (a, b) => a.bits - b.bits || a.symbol - b.symbol,
  )
  let code = 0
  let codeBits = 0
  for (const { bits, symbol } of symbols) {
    code <<= bits - codeBits
    codeBits = bits
    let node = root
    for (let bit = bits - 1; bit > 0; bit--) {
      const side = ((code >> bit) & 1) as 0 | 1
      if (node[side] === 0) node[side] = nodes.push([0, 0]) - 1
      node = nodes[node[side]] as [number, number] // a code is never the start of another, so this is an inner node
    }
    node[(code & 1) as 0 | 1] = ~symbol
    code++
  }
  return nodes
}

function buildMachine(): { steps: Uint32Array; mayEnd: readonly boolean[] } {
  const nodes = buildTree()
  const steps = new Uint32Array(nodes.length * 16)
  for (let state = 0; state < nodes.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) steps[state * 16 + nibble] = walk(nodes, state, nibble)
  }
  const mayEnd = nodes.map(() => false)
  let node = 0
  for (let bits = 0; bits <= LONGEST_PADDING_BITS; bits++) {
    mayEnd[node] = true
    node = nodes[node]?.[1] ?? 0
  }
  return { steps, mayEnd }
}

function walk(nodes: readonly [number, number][], from: number, nibble: number): number {
  let state = from
  let flags = 0
  for (let bit = 3; bit >= 0; bit--) {
    const next = nodes[state]?.[((nibble >> bit) & 1) as 0 | 1] ?? 0
    if (next === ~EOS) return REFUSED
    if (next < 0) flags = ENDS_SYMBOL | (~next << 8)
    state = next < 0 ? 0 : next
  }
  return flags | state
}
