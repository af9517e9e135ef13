import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { ConnectionError } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import { Flag } from './frames.ts'
import { HeaderAssembly, type ReceivedHeaders } from './header-assembly.ts'
import { encodeHeaders } from './hpack/index.ts'
import { fields, hex, RFC_CONVERSATIONS } from './hpack/rfc-7541-fixture.ts'

const { protocolError, frameSizeError, compressionError, enhanceYourCalm } = ErrorCode

const MAX_HEADER_BYTES = 1024
const MAX_CONTINUATIONS = 16

const assembly = (): HeaderAssembly =>
  new HeaderAssembly({ maxHeaderBytes: MAX_HEADER_BYTES, maxContinuations: MAX_CONTINUATIONS })

/** A header list of 42 bytes a field. */
const list = (count: number): Buffer => encodeHeaders(Array.from({ length: count }, () => [':method', 'GET']))

/** With a header block of 1000 octets that goes on. */
function started(to: HeaderAssembly): HeaderAssembly {
  to.headers(0, 1, Buffer.alloc(1000))
  return to
}

/** The code of the connection error that is thrown, if any; other errors go on. */
function codeOf(run: (to: HeaderAssembly) => unknown): number | undefined {
  try {
    run(assembly())
    return undefined
  } catch (error) {
    if (error instanceof ConnectionError) return error.h2Code
    throw error
  }
}

/** How a block is sent: what surrounds it in HEADERS, and after how many octets a CONTINUATION begins. */
interface Sending {
  readonly endStream: boolean
  readonly padding: number | undefined
  readonly hasPriority: boolean
  readonly cuts: readonly number[]
}

const PLAIN: Sending = { endStream: false, padding: undefined, hasPriority: false, cuts: [] }

/** All frames of a block, as FrameDispatch brings them: payloads are gone after the call. */
function send(to: HeaderAssembly, streamId: number, block: Buffer, sending: Sending): ReceivedHeaders | undefined {
  const ends = [...sending.cuts.map((cut) => cut % (block.length + 1)), block.length].toSorted((a, b) => a - b)
  let received: ReceivedHeaders | undefined
  let start = 0
  for (const [at, end] of ends.entries()) {
    if (received !== undefined || (at > 0 && to.openStreamId !== streamId)) throw new Error('the block has ended early')
    const endHeaders = at === ends.length - 1 ? Flag.endHeaders : 0
    const piece = block.subarray(start, end)
    start = end
    const [flags, payload] = at === 0 ? surrounded(piece, sending, endHeaders) : [endHeaders, Buffer.from(piece)]
    if (at === 0) to.admitHeaders(flags, payload.length)
    else to.admitContinuation(payload.length)
    received = at === 0 ? to.headers(flags, streamId, payload) : to.continuation(flags, payload)
    payload.fill(0xff)
  }
  return received
}

function surrounded(piece: Buffer, { endStream, padding, hasPriority }: Sending, flags: number): [number, Buffer] {
  const parts = [piece]
  if (hasPriority) parts.unshift(Buffer.alloc(5, 0xaa))
  if (padding !== undefined) {
    parts.unshift(Buffer.of(padding))
    parts.push(Buffer.alloc(padding))
  }
  const all =
    flags |
    (endStream ? Flag.endStream : 0) |
    (hasPriority ? Flag.priority : 0) |
    (padding === undefined ? 0 : Flag.padded)
  return [all, Buffer.concat(parts)]
}

const anySending: fc.Arbitrary<Sending> = fc.record({
  endStream: fc.boolean(),
  padding: fc.option(fc.nat(255), { nil: undefined }),
  hasPriority: fc.boolean(),
  cuts: fc.array(fc.nat(), { maxLength: MAX_CONTINUATIONS }),
})

for (const [name, { vectors }] of Object.entries(RFC_CONVERSATIONS)) {
  void t.test(`blocks are read alike however they are cut and surrounded: RFC 7541 ${name}`, async () => {
    const sendings = fc.array(anySending, { minLength: vectors.length, maxLength: vectors.length })
    const isReadAlike = (each: readonly Sending[]): boolean => {
      const to = new HeaderAssembly({ maxHeaderBytes: 65_536, maxContinuations: MAX_CONTINUATIONS })
      let octets = 0
      return vectors.every(({ block, list }, at) => {
        const sending = each[at] ?? PLAIN
        const received = send(to, 2 * at + 1, hex(block), sending)
        octets += hex(block).length
        const { endStream } = sending
        const expected = { streamId: 2 * at + 1, endStream, fields: fields(list), tooLarge: false }
        return isDeepStrictEqual(received, expected) && to.openStreamId === undefined && to.decodedBytes === octets
      })
    }
    fc.assert(fc.property(sendings, isReadAlike))
  })
}

interface Frame {
  readonly isHeaders: boolean
  readonly flags: number
  readonly streamId: number
  readonly payload: Uint8Array
}

const anyFrame: fc.Arbitrary<Frame> = fc.record({
  isHeaders: fc.boolean(),
  flags: fc.nat(255),
  streamId: fc.nat(8),
  payload: fc.uint8Array({ maxLength: 300 }),
})

void t.test('whatever comes, nothing is thrown but an error of the connection', async () => {
  const codes: (number | undefined)[] = [undefined, protocolError, frameSizeError, compressionError, enhanceYourCalm]
  const isAllowed = (frames: readonly Frame[]): boolean => {
    const code = codeOf((to) => {
      for (const { isHeaders, flags, streamId, payload } of frames) {
        // The dispatch lets no HEADERS come into a block that is open.
        if (isHeaders && to.openStreamId === undefined) {
          to.admitHeaders(flags, payload.length)
          to.headers(flags, streamId, Buffer.from(payload))
        } else {
          to.admitContinuation(payload.length)
          to.continuation(flags, Buffer.from(payload))
        }
      }
    })
    return codes.includes(code)
  }
  fc.assert(fc.property(fc.array(anyFrame, { maxLength: 20 }), isAllowed), { numRuns: 1000 })
})

void t.test('frames that do not fit are refused', async (t) => {
  const both = Flag.padded | Flag.priority
  const paddedEnd = Flag.padded | Flag.endHeaders
  const cases: readonly [what: string, code: number | undefined, run: (to: HeaderAssembly) => unknown][] = [
    ['CONTINUATION without HEADERS', protocolError, (to) => to.admitContinuation(0)],
    ['nothing at all', undefined, (to) => to.admitHeaders(0, 0)],
    ['room for the padding length', undefined, (to) => to.admitHeaders(Flag.padded, 1)],
    ['none', frameSizeError, (to) => to.admitHeaders(Flag.padded, 0)],
    ['room for priority', undefined, (to) => to.admitHeaders(Flag.priority, 5)],
    ['too little', frameSizeError, (to) => to.admitHeaders(Flag.priority, 4)],
    ['room for both', undefined, (to) => to.admitHeaders(both, 6)],
    ['for one only', frameSizeError, (to) => to.admitHeaders(both, 5)],
    ['padding and a field', undefined, (to) => to.headers(paddedEnd, 1, Buffer.of(1, 0x82, 0))],
    ['padding and no field', undefined, (to) => to.headers(paddedEnd, 1, Buffer.of(2, 0, 0))],
    ['padding longer than its frame', protocolError, (to) => to.headers(paddedEnd, 1, Buffer.of(3, 0, 0))],
    ['half a field', compressionError, (to) => to.headers(Flag.endHeaders, 1, Buffer.of(0xff))],
  ]
  for (const [what, code, run] of cases) t.equal(codeOf(run), code, what)
})

void t.test('a block has a bound, in octets, in pieces, and in what it decodes to', async (t) => {
  const most = MAX_HEADER_BYTES + 261
  const pieces = (count: number): Sending => ({ ...PLAIN, cuts: Array.from({ length: count }, () => 0) })
  const cases: readonly [code: number | undefined, run: (to: HeaderAssembly) => unknown][] = [
    [undefined, (to) => to.admitHeaders(0, most)],
    [enhanceYourCalm, (to) => to.admitHeaders(0, most + 1)],
    [undefined, (to) => started(to).admitContinuation(most - 1000)],
    [enhanceYourCalm, (to) => started(to).admitContinuation(most - 999)],
    [undefined, (to) => send(to, 1, list(1), pieces(MAX_CONTINUATIONS))],
    [enhanceYourCalm, (to) => send(to, 1, list(1), pieces(MAX_CONTINUATIONS + 1))],
    [undefined, (to) => send(to, 1, list(97), PLAIN)],
    [enhanceYourCalm, (to) => send(to, 1, list(98), PLAIN)],
  ]
  for (const [at, [code, run]] of cases.entries()) t.equal(codeOf(run), code, String(at))

  // The connection may go on after a list that is too large.
  const to = assembly()
  const large = send(to, 1, list(25), PLAIN)
  t.same([large?.tooLarge, large?.fields], [true, []])
  const fitting = send(to, 3, list(24), PLAIN)
  t.same([fitting?.tooLarge, fitting?.fields.length], [false, 24])
})
