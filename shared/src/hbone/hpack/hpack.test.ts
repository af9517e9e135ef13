import * as http2 from 'node:http2'
import { duplexPair, type Duplex } from 'node:stream'
import * as fc from 'fast-check'
import t from 'tap'
import { BlockReader } from './block-reader.ts'
import { DynamicTable } from './dynamic-table.ts'
import { encodeHeaders, HpackDecoder, HpackError, type HeaderField } from './index.ts'
import { fields, hex, RFC_CONVERSATIONS } from './rfc-7541-fixture.ts'

const decoder = (maxTableSize = 4096, maxHeaderListBytes = 65_536) =>
  new HpackDecoder({ maxTableSize, maxHeaderListBytes })
function read(bytes: string, prefixBits: number): number {
  const block = hex(bytes)
  return new BlockReader(block, 0, block.length).integer(prefixBits)
}
/** The fields of one block, and the bytes in the table after it. */
function one(bytes: string): [HeaderField[], number] {
  const d = decoder()
  return [d.decode(hex(bytes)).headers, d.tableBytes]
}
void t.test('integers are read as in RFC 7541 C.1', async (t) => {
  t.equal(read('0a', 5), 10)
  t.equal(read('1f9a0a', 5), 1337)
  t.equal(read('2a', 8), 42)
  t.equal(read('ff ff ff ff 7f', 7), 127 + 0x0fffffff, 'the largest that is taken')
  t.throws(
    () => read('ff 80 80 80 80 00', 7),
    { code: 'integer-too-large' },
    'too many octets, though the value is small',
  )
  t.throws(() => read('ff ff ff ff ff 7f', 7), { code: 'integer-too-large' })
  t.throws(() => read('ff 80', 7), { code: 'truncated' })
})

void t.test('single fields are read as in RFC 7541 C.2', async (t) => {
  t.same(one('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), [
    [['custom-key', 'custom-header']],
    55,
  ])
  t.same(one('040c 2f73 616d 706c 652f 7061 7468'), [[[':path', '/sample/path']], 0])
  t.same(one('1008 7061 7373 776f 7264 0673 6563 7265 74'), [[['password', 'secret']], 0])
  t.same(one('82'), [[[':method', 'GET']], 0])
})

for (const [name, { tableSize, vectors }] of Object.entries(RFC_CONVERSATIONS)) {
  void t.test(`conversations are read as in RFC 7541 ${name}`, async (t) => {
    const d = decoder(tableSize)
    for (const { block, list, tableBytes } of vectors) {
      t.same(d.decode(hex(block)), { headers: fields(list), tooLarge: false })
      t.equal(d.tableBytes, tableBytes)
    }
  })
}

void t.test('a block may stand anywhere in a buffer, and nothing beyond its end is read', async (t) => {
  t.same(decoder().decode(hex('ff 82 86 ff'), 1, 3).headers, [
    [':method', 'GET'],
    [':scheme', 'http'],
  ])
  t.throws(() => decoder().decode(hex('400a 6375 7374 6f6d 2d6b 6579 0d63'), 0, 8), { code: 'truncated' })
  t.same(decoder().decode(Buffer.alloc(0)), { headers: [], tooLarge: false })
})

void t.test('what is no header block is an HpackError', async (t) => {
  const refused: [code: string, block: string, why: string][] = [
    ['bad-index', '80', 'index 0'],
    ['bad-index', 'be', 'beyond the static table, dynamic table empty'],
    ['bad-index', 'ff ff ff ff 7f', 'far beyond'],
    ['bad-index', '7e 01 61', 'a name by an index that does not exist'],
    ['truncated', '40', 'name missing'],
    ['truncated', '40 01 61', 'value missing'],
    ['truncated', '40 01 61 05 61', 'value cut'],
    ['truncated', '00 7f', 'length cut'],
    ['truncated', 'ff', 'index cut'],
    ['integer-too-large', '00 7f ff ff ff ff ff 7f', 'length overflows'],
    ['bad-table-size', '3f e2 1f', 'size update above the limit (4097)'],
    ['bad-table-size', '82 20', 'size update after a field'],
    ['bad-huffman', '00 81 1e 00', 'padding is not all ones'],
    ['bad-huffman', '00 82 1f ff 00', 'padding longer than 7 bits'],
    ['bad-huffman', '00 84 ff ff ff ff 00', 'EOS'],
    ['bad-huffman', '00 81 ff 00', 'eight bits of padding'],
  ]
  for (const [code, block, why] of refused)
    t.throws(() => decoder().decode(hex(block)), { name: 'HpackError', code }, why)
})

void t.test('any octets either decode within the limits or are an HpackError', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
      const d = decoder(200, 300)
      try {
        for (const block of blocks) {
          const { headers, tooLarge } = d.decode(Buffer.from(block))
          const bytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
          if (bytes > 300 || d.tableBytes > 200 || (tooLarge && headers.length > 0)) return false
        }
        return true
      } catch (error) {
        return error instanceof HpackError
      }
    }),
    { numRuns: 2000 },
  )
})

void t.test('the table obeys size updates, and an entry larger than the table empties it', async (t) => {
  const d = decoder(4096)
  const kept = hex('40 01 61 01 62') // a: b, kept
  d.decode(kept)
  d.decode(kept)
  t.equal(d.tableBytes, 68)
  t.same(d.decode(hex('3f 03 be')).headers, [['a', 'b']], 'a size of 34 leaves the newest')
  t.equal(d.tableBytes, 34)
  t.same(d.decode(hex('3f 02')), { headers: [], tooLarge: false }, 'a size of 33 leaves none')
  t.equal(d.tableBytes, 0)
  t.same(d.decode(hex('20 3f e1 1f')), { headers: [], tooLarge: false }, 'to 0 and up to 4096 in one block')
  d.decode(kept)
  d.decode(Buffer.concat([hex('40 01 61 7f a1 1e'), Buffer.alloc(4000, 'x'), hex('82')]))
  t.equal(d.tableBytes, 4067)
  d.decode(Buffer.concat([hex('40 01 61 7f a1 1f'), Buffer.alloc(4128, 'x')]))
  t.equal(d.tableBytes, 0)
})

void t.test('an evicted entry may still name the field that evicts it', async (t) => {
  const d = decoder(40)
  d.decode(hex('40 04 6e 61 6d 65 01 62')) // name: b
  t.same(d.decode(hex('7e 02 63 64')).headers, [['name', 'cd']])
  t.equal(d.tableBytes, 38)
})

void t.test('a list above the limit is refused as such while the tables stay in step', async (t) => {
  const d = decoder(4096, 100)
  const large = Buffer.concat([
    hex('00 01 61 64'),
    Buffer.alloc(100, 'x'), // a literal above the limit
    hex('40 01 62 01 63'), // b: c, kept in the table all the same
    hex('10 81 1f 03 61 62 63'), // a literal that is passed over, Huffman name
    hex('01 81 07'), // a literal with an indexed name, passed over
    hex('82'),
  ])
  t.same(d.decode(large), { headers: [], tooLarge: true })
  t.same(d.decode(hex('be')), { headers: [['b', 'c']], tooLarge: false })
  t.throws(() => d.decode(hex('40 01 61 7f ff 7f')), { code: 'truncated' })
  const exact = decoder(4096, 84)
  t.equal(exact.decode(hex('82 82')).tooLarge, false, 'exactly the limit')
  t.equal(exact.decode(hex('82 82 82')).tooLarge, true)
})

void t.test(
  'a small block that names a large entry over and over ends the connection early (HPACK bomb)',
  async (t) => {
    const d = decoder(4096, 65_536)
    d.decode(Buffer.concat([hex('40 01 61 7f a1 1e'), Buffer.alloc(4000, 'x')]))
    t.throws(() => d.decode(Buffer.alloc(16_000, 0xbe)), { code: 'header-list-too-large' })
    const patient = new HpackDecoder({
      maxTableSize: 4096,
      maxHeaderListBytes: 65_536,
      hardMaxHeaderListBytes: 1e9,
      hardMaxFields: 1e9,
    })
    patient.decode(Buffer.concat([hex('40 01 61 7f a1 1e'), Buffer.alloc(4000, 'x')]))
    t.same(patient.decode(Buffer.alloc(16_000, 0xbe)), { headers: [], tooLarge: true })
  },
)

void t.test('a list of more than 1024 fields ends the connection, however short they are', async (t) => {
  const tiny = hex('40 00 00') // no name, no value, kept
  const times = (count: number) => Buffer.concat(Array.from({ length: count }, () => tiny))
  t.equal(decoder().decode(times(1024)).headers.length, 1024)
  t.throws(() => decoder().decode(times(1025)), { code: 'header-list-too-large' })
})

void t.test('a table names the latest fields by their age, also after many evictions', async (t) => {
  const table = new DynamicTable(40 * 10)
  for (let i = 0; i < 1000; i++) {
    const number = `${i}`.padStart(7, '0')
    table.insert(['n', number])
    // Now and then most of it goes at once.
    if (i % 177 === 0) {
      table.resize(40)
      t.equal(table.at(2), undefined)
      table.resize(40 * 10)
    }
    const kept = Math.min((i % 177) + 1, 10)
    t.equal(table.at(1)?.[1], number)
    t.equal(Number(table.at(kept)?.[1]), i - kept + 1)
    t.equal(table.at(kept + 1), undefined)
    t.equal(table.bytes, 40 * kept)
  }
})

// An encoder and a decoder that are not ours: nghttp2, inside node:http2.

const name = fc
  .string({ unit: fc.constantFrom(...'abcxyz019-_.'.split('')), minLength: 1, maxLength: 30 })
  .map((text) => `x-${text}`)
const octet = fc.oneof(fc.integer({ min: 0x21, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }))
const value = fc.oneof(
  { weight: 5, arbitrary: fc.array(octet, { maxLength: 60 }) },
  { weight: 1, arbitrary: fc.array(octet, { minLength: 1000, maxLength: 5000, size: 'max' }) },
)
const list = fc
  .array(
    fc.tuple(
      name,
      value.map((octets) => String.fromCharCode(...octets)),
    ),
    { maxLength: 12 },
  )
  .map((pairs) => [...new Map(pairs)])

/** Header blocks (HEADERS and CONTINUATIONs joined) in what an HTTP/2 client wrote. */
function headerBlocks(wire: Buffer): Buffer[] {
  const blocks: Buffer[] = []
  for (let at = 24; at + 9 <= wire.length; at += 9 + wire.readUIntBE(at, 3)) {
    const type = wire[at + 3]
    const payload = wire.subarray(at + 9, at + 9 + wire.readUIntBE(at, 3))
    if (type === 1) blocks.push(payload)
    if (type === 9) blocks.push(Buffer.concat([blocks.pop() ?? payload, payload]))
  }
  return blocks
}

function settingsFrame(headerTableSize: number): Buffer {
  const frame = Buffer.from('000006040000000000 0001 00000000'.replaceAll(' ', ''), 'hex')
  frame.writeUInt32BE(headerTableSize, 11)
  return frame
}

async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** What nghttp2 writes for these requests, the peer's table size being changed after half of them. */
async function encodedByNghttp2(lists: readonly HeaderField[][], tableSize: number): Promise<Buffer[]> {
  const [near, far] = duplexPair()
  const written: Buffer[] = []
  far.on('data', (chunk: Buffer) => written.push(chunk))
  const session = http2.connect('http://peer', { createConnection: (): Duplex => near })
  session.on('error', () => {})
  const half = Math.ceil(lists.length / 2)
  for (const [i, pairs] of lists.entries()) {
    if (i === half) {
      far.write(settingsFrame(tableSize))
      for (let turns = 0; turns < 4; turns++) await turn()
    }
    session
      .request({ ':method': 'CONNECT', ':authority': 'a:1', ...Object.fromEntries(pairs) }, { endStream: false })
      .on('error', () => {})
    await turn()
  }
  for (let turns = 0; turns < 4; turns++) await turn()
  session.destroy()
  return headerBlocks(Buffer.concat(written))
}

void t.test('whatever nghttp2 encodes is decoded, its table growing, shrinking and switched off', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(list, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 100, 4096),
      async (lists, size) => {
        const blocks = await encodedByNghttp2(lists, size)
        const d = decoder(4096, 1_000_000)
        for (const [i, block] of blocks.entries()) {
          const { headers } = d.decode(block)
          if (JSON.stringify(headers.slice(2)) !== JSON.stringify(lists[i])) return false
          if (i >= Math.ceil(lists.length / 2) && d.tableBytes > size) return false
        }
        return blocks.length === lists.length
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})

void t.test('whatever we encode is decoded by nghttp2', async (t) => {
  await fc.assert(
    fc.asyncProperty(list, async (pairs) => {
      const [near, far] = duplexPair()
      const session = http2.performServerHandshake(far, { settings: { maxHeaderListSize: 1_000_000 } })
      session.on('error', () => {})
      const seen = new Promise<string[]>((resolve) => {
        session.on('stream', (_stream, _headers, _flags, raw: string[]) => resolve(raw))
      })
      const block = encodeHeaders([
        [':method', 'CONNECT'],
        [':authority', 'a:1'],
        ['accept-encoding', 'gzip, deflate'],
        ...pairs,
      ])
      near.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
      near.write(Buffer.from('000000040000000000', 'hex'))
      // 16,384 octets a frame at most: HEADERS without END_HEADERS, then CONTINUATIONs.
      for (let at = 0; at < block.length; at += 16_384) {
        const piece = block.subarray(at, at + 16_384)
        const head = Buffer.from([0, 0, 0, at === 0 ? 1 : 9, at + 16_384 >= block.length ? 4 : 0, 0, 0, 0, 1])
        head.writeUIntBE(piece.length, 0, 3)
        near.write(head)
        near.write(piece)
      }
      const raw = await seen
      session.destroy()
      near.destroy()
      const want = [':method', 'CONNECT', ':authority', 'a:1', 'accept-encoding', 'gzip, deflate', ...pairs.flat()]
      return JSON.stringify(raw) === JSON.stringify(want)
    }),
    { numRuns: 60 },
  )
  t.pass()
})

void t.test('our own blocks come back as they were and touch no table', async (t) => {
  const lists: HeaderField[][] = [
    [],
    [[':status', '200']],
    [[':status', '503']],
    [['x', '']],
    [['x', 'y'.repeat(127)]],
    [['x'.repeat(300), 'ÿ'.repeat(20_000)]],
    [['via', 'name indexed']],
  ]
  for (const headers of lists) {
    const d = decoder()
    t.same(d.decode(encodeHeaders(headers)).headers, headers)
    t.equal(d.tableBytes, 0)
  }
  t.same(encodeHeaders([[':status', '200']]), hex('88'))
})
