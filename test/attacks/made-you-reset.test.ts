// CVE-2025-8671 (MadeYouReset): streams on which the peer makes the server reset, so that resets by the peer never count.
import { DEFAULT_LIMITS } from '@ambit/shared/hbone'
import { attack } from './kit.ts'
import {
  Code,
  CONNECT,
  connectBlock,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  literal,
  NEWEST,
  PRIORITY,
  Type,
  u32,
  windowUpdate,
} from './raw-frames.ts'

const BURST = DEFAULT_LIMITS.causedResets.burst
const pending = connectBlock('pending:1')
const bounds = { ends: Code.calm, tunnels: BURST + 1 } as const

const VARIANTS: Record<string, (stream: number) => Buffer> = {
  'WINDOW_UPDATE of 0': (stream) => windowUpdate(stream, 0),
  'WINDOW_UPDATE that overflows the stream window': (stream) => windowUpdate(stream, 0x7fff_ffff),
  'HEADERS again, without END_STREAM': (stream) => headers(stream, literal('x-a', 'b')),
  'trailers with a pseudo-header': (stream) => headers(stream, CONNECT, END_HEADERS | END_STREAM),
  'HEADERS after END_STREAM': (stream) =>
    Buffer.concat([data(stream, '', END_STREAM), headers(stream, literal('x-a', 'b'), END_HEADERS | END_STREAM)]),
  'PRIORITY of a wrong size': (stream) => frame(Type.priority, 0, stream, u32(0)),
  'DATA after END_STREAM': (stream) => Buffer.concat([data(stream, '', END_STREAM), data(stream, 'more')]),
}

for (const [name, provoke] of Object.entries(VARIANTS)) {
  attack(name, bounds, async (peer, _victim, t) => {
    await peer.flood(20_000, (i) => Buffer.concat([headers(1 + 2 * i, pending), provoke(1 + 2 * i)]))
    t.ok(peer.resets.length <= BURST, `${peer.resets.length} resets`)
  })
}

attack('with an upstream connection for each', { ...bounds, dials: BURST + 1 }, async (peer) => {
  await peer.flood(20_000, (i) => Buffer.concat([headers(1 + 2 * i, CONNECT), windowUpdate(1 + 2 * i, 0)]))
})

attack('more DATA than the stream window', { ...bounds, limits: { streamWindowBytes: 1000 } }, async (peer) => {
  await peer.flood(20_000, (i) => Buffer.concat([headers(1 + 2 * i, pending), data(1 + 2 * i, Buffer.alloc(1001))]), 20)
})

const MALFORMED: Record<string, Buffer> = {
  'a CONNECT with a path': connectBlock('echo:1', literal(':path', '/')),
  'a field name in upper case': connectBlock('echo:1', literal('X-A', 'b')),
  'a field without a name, CVE-2019-9516': connectBlock('echo:1', literal('', '')),
  'no authority': literal(':method', 'CONNECT'),
}

for (const [name, block] of Object.entries(MALFORMED)) {
  attack(`requests that are malformed: ${name}`, { ends: Code.calm, tunnels: 0 }, async (peer, _victim, t) => {
    await peer.flood(20_000, (i) => headers(1 + 2 * i, block))
    t.ok(peer.resets.length <= BURST)
    t.ok(peer.resets.every(({ code }) => code === Code.protocol || code === Code.calm))
  })
}

attack('header lists above the limit', { ends: Code.calm, tunnels: 1 }, async (peer, _victim, t) => {
  await peer.send(headers(1, connectBlock('busy:1', literal('x-a', 'b'.repeat(3900), true))))
  const block = connectBlock('echo:1', Buffer.alloc(20, NEWEST))
  await peer.flood(20_000, (i) => headers(3 + 2 * i, block))
  t.ok(peer.of(Type.headers).length <= BURST + 1, 'answers are bounded')
})

attack(
  'PRIORITY that makes a stream depend on itself is ignored',
  { ends: 'tolerated', tunnels: 50 },
  async (peer, _victim, t) => {
    for (let i = 0; i < 50; i++) {
      const stream = 1 + 2 * i
      const itself = Buffer.concat([u32(stream), Buffer.of(1)])
      await peer.send(headers(stream, Buffer.concat([itself, pending]), END_HEADERS | PRIORITY))
      await peer.send(frame(Type.priority, 0, stream, itself))
    }
    t.equal(peer.resets.length, 0)
  },
)
