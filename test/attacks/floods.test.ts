// CVE-2019-9512 (PING), CVE-2019-9515 (SETTINGS), CVE-2019-9513 (PRIORITY), CVE-2019-9518 (empty frames): frames without end
// that cost little to send.
import { DEFAULT_LIMITS } from '@ambit/shared/hbone'
import { attack, eventually } from './kit.ts'
import {
  ACK,
  Code,
  CONNECT,
  connectBlock,
  continuation,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  goaway,
  headers,
  literal,
  NEWEST,
  PADDED,
  ping,
  reset,
  settings,
  Type,
  u32,
  windowUpdate,
} from './raw-frames.ts'

const MANY = 100_000
const calm = { ends: Code.calm, tunnels: 1, dials: 1 } as const

attack('PING, CVE-2019-9512', { ends: Code.calm, tunnels: 0 }, async (peer, _victim, t) => {
  await peer.flood(MANY, ping)
  t.ok(peer.of(Type.ping).length <= DEFAULT_LIMITS.answers.burst, 'answers are bounded')
})

attack('SETTINGS, CVE-2019-9515', { ends: Code.calm, tunnels: 0 }, async (peer, _victim, t) => {
  await peer.flood(MANY, () => settings())
  t.ok(peer.of(Type.settings).length <= DEFAULT_LIMITS.answers.burst + 2, 'answers are bounded')
})

attack('SETTINGS that change every stream window back and forth', calm, async (peer) => {
  await peer.send(headers(1, connectBlock('deaf:1')))
  await peer.flood(MANY, (i) => settings([4, i % 2 === 0 ? 0 : 65_535]))
})

attack('PING acknowledgements that nobody asked for', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.flood(MANY, () => frame(Type.ping, ACK, 0, Buffer.alloc(8, 'x')))
})

// What we really send, and answers that come when nobody waits for them.
for (const payload of ['liveness', 'draining']) {
  attack(`PING acknowledgements of our own payload: ${payload}`, { ends: Code.calm, tunnels: 0 }, async (peer) => {
    await peer.flood(MANY, () => frame(Type.ping, ACK, 0, Buffer.from(payload)))
  })
}

attack('SETTINGS acknowledgements that nobody waits for', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.flood(MANY, () => frame(Type.settings, ACK, 0))
})

attack('PRIORITY, CVE-2019-9513', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.flood(MANY, (i) =>
    frame(Type.priority, 0, 1 + 2 * (i % 1000), Buffer.concat([u32(0), Buffer.of(i % 256)])),
  )
})

attack('frames of an unknown type', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.flood(MANY, (i) => frame(Type.unknown, 0, i, Buffer.alloc(10)))
})

attack('large frames of an unknown type', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.flood(2000, () => frame(Type.unknown, 0, 0, Buffer.alloc(16_384)), 10)
})

attack('empty DATA, CVE-2019-9518', calm, async (peer) => {
  await peer.send(headers(1, CONNECT))
  await peer.flood(MANY, () => data(1))
})

attack('DATA of padding only', calm, async (peer) => {
  await peer.send(headers(1, CONNECT))
  await peer.flood(MANY, () => data(1, Buffer.of(0), PADDED))
})

attack(
  'DATA of one octet, to many applications',
  { ends: 'tolerated', tunnels: 20, dials: 20 },
  async (peer, _v, t) => {
    const streams = Array.from({ length: 20 }, (_, i) => 1 + 2 * i)
    const said = new Map(streams.map((stream) => [stream, '']))
    const heard = new Map(said)
    peer.onFrame = ({ type, stream, payload }) => {
      if (type === Type.data) heard.set(stream, `${heard.get(stream) ?? ''}${payload.toString()}`)
    }
    await peer.send(frame(Type.settings, ACK, 0), ...streams.map((stream) => headers(stream, connectBlock('echo:1'))))
    await peer.flood(40_000, (i) => {
      const stream = streams[i % streams.length] ?? 1
      said.set(stream, `${said.get(stream) ?? ''}${letter(i)}`)
      return data(stream, letter(i))
    })
    await eventually(() => peer.dataBytes >= 40_000)
    t.same(heard, said, 'each gets its own, in order')
  },
)

attack('GOAWAY over and over', { ends: Code.calm, tunnels: 1, dials: 1 }, async (peer) => {
  await peer.send(headers(1, CONNECT))
  await peer.flood(MANY, () => goaway(0))
})

attack('RST_STREAM on a stream that is closed', calm, async (peer) => {
  await peer.send(headers(1, CONNECT))
  await peer.flood(MANY, () => reset(1))
})

// On a stream that we reset ourselves, for the peer may not know yet; but not for ever.
const MALFORMED = connectBlock('echo:1', literal('X-A', 'b'))
const dropped = { ends: Code.calm, tunnels: 0 } as const
const OVERSIZED = Buffer.concat([literal('a', 'c'.repeat(3900), true), Buffer.alloc(20, NEWEST)])
const endless = { burst: MANY, perSecond: MANY } as const

attack('HEADERS on a stream that we reset', dropped, async (peer) => {
  await peer.send(headers(1, MALFORMED))
  await peer.flood(MANY, () => headers(1, literal('x-a', 'b', true)))
})

attack(
  'header lists above the limit on a stream that we reset',
  { ...dropped, limits: { idleFrames: endless } },
  async (peer) => {
    await peer.send(headers(1, MALFORMED))
    await peer.flood(2000, () => headers(1, OVERSIZED), 10)
  },
)

attack(
  'header lists above the limit on streams that are refused',
  { ends: Code.calm, tunnels: DEFAULT_LIMITS.maxConcurrentStreams, limits: { earlyResets: endless } },
  async (peer, _victim, t) => {
    const { maxConcurrentStreams, causedResets } = DEFAULT_LIMITS
    const pending = Array.from({ length: maxConcurrentStreams }, (_, i) =>
      headers(1 + 2 * i, connectBlock('pending:1')),
    )
    await peer.send(...pending)
    await peer.flood(2000, (i) => headers(1 + 2 * (maxConcurrentStreams + i), OVERSIZED), 10)
    t.ok(peer.resets.length <= causedResets.burst, `${peer.resets.length} of them`)
  },
)

attack('DATA on a stream that we reset, beyond its window', dropped, async (peer) => {
  await peer.send(headers(1, MALFORMED))
  await peer.flood(10_000, () => data(1, Buffer.alloc(16_384)), 10)
})

attack('DATA with END_STREAM over and over on a stream that we reset', dropped, async (peer) => {
  await peer.send(headers(1, MALFORMED))
  await peer.flood(MANY, () => data(1, '', END_STREAM))
})

attack(
  'DATA that was under way to streams that we reset is no fault of the peer',
  { ends: 'tolerated', tunnels: 0 },
  async (peer, _victim, t) => {
    const { streamWindowBytes } = DEFAULT_LIMITS
    for (const stream of [1, 3, 5]) {
      await peer.send(headers(stream, MALFORMED))
      await peer.flood(streamWindowBytes / 16_384, () => data(stream, Buffer.alloc(16_384)), 10)
      await peer.send(data(stream, '', END_STREAM))
    }
    t.equal(peer.resets.length, 3)
    await peer.send(ping())
    t.ok(await eventually(() => peer.of(Type.ping).length === 1), 'it is served on')
  },
)

attack('WINDOW_UPDATE by one', calm, async (peer) => {
  await peer.send(headers(1, CONNECT))
  await peer.flood(MANY, (i) => windowUpdate(i % 2, 1))
})

attack(
  'streams above the limit, refused and asked for again',
  { ends: Code.calm, tunnels: DEFAULT_LIMITS.maxConcurrentStreams },
  async (peer, _victim, t) => {
    const block = connectBlock('pending:1')
    await peer.flood(20_000, (i) => headers(1 + 2 * i, block))
    t.ok(peer.resets.every(({ code }) => code === Code.refused))
    t.ok(peer.resets.length <= DEFAULT_LIMITS.earlyResets.burst)
  },
)

attack(
  'CONTINUATION with headers, CVE-2024-27983 and CVE-2023-45288',
  { ends: Code.calm, tunnels: 0 },
  async (peer) => {
    const fields = literal('x-a', 'b'.repeat(8000))
    await peer.send(headers(1, CONNECT, 0))
    await peer.flood(20_000, () => continuation(1, fields), 2)
  },
)

attack('CONTINUATION without end that is empty, CVE-2024-27919', { ends: Code.calm, tunnels: 0 }, async (peer) => {
  await peer.send(headers(1, CONNECT, 0))
  await peer.flood(MANY, () => continuation(1, Buffer.alloc(0)))
})

attack('requests with END_STREAM, each served', { ends: 'tolerated', tunnels: 300 }, async (peer, _victim, t) => {
  const block = connectBlock('busy:1')
  for (let i = 0; i < 300; i++) await peer.send(headers(1 + 2 * i, block, END_HEADERS | END_STREAM))
  while (peer.of(Type.headers).length < 300) await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal(peer.resets.length, 0, 'an answer with END_STREAM to a request with END_STREAM needs no reset')
})

function letter(i: number): string {
  return String.fromCodePoint(97 + (i % 26))
}
