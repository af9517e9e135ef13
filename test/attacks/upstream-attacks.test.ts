// CVE-2021-32780 (GOAWAY and MAX_CONCURRENT_STREAMS 0 from an upstream), refusal storms, and floods by a server that our
// client connects to.
import { FakeClock } from '@ambit/shared/clock'
import t, { type Test } from 'tap'
import { descriptors, eventually } from './kit.ts'
import {
  ACK,
  Code,
  continuation,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  goaway,
  headers,
  literal,
  NEWEST,
  OK,
  ping,
  reset,
  settings,
  Type,
  u32,
  windowUpdate,
} from './raw-frames.ts'
import type { RawPeer } from './raw-peer.ts'
import { PoolUser, Upstream } from './upstream.ts'

/** A server that accepts every tunnel and echoes. */
function echoes(peer: RawPeer): void {
  void peer.send(settings([3, 100]))
  peer.onFrame = ({ type, flags, stream, payload }) => {
    if (type === Type.headers) void peer.send(headers(stream, OK))
    if (type === Type.data) void peer.send(data(stream, payload, flags & END_STREAM))
    if (type === Type.settings && flags === 0) void peer.send(frame(Type.settings, ACK, 0))
    if (type === Type.ping && flags === 0) void peer.send(frame(Type.ping, ACK, 0, payload))
  }
}

/**
 * A hostile upstream and the same five things: connections to it end, dials are bounded, so is memory, nothing is left, and
 * requests to a good upstream are served by the same pool meanwhile.
 */
function hostile(
  name: string,
  dials: number,
  script: (peer: RawPeer) => void,
  run: (user: PoolUser, port: number, t: Test, upstream: Upstream) => Promise<void>,
): void {
  void t.test(name, async (t) => {
    const before = descriptors()
    const [bad, good, user] = [await Upstream.start(script), await Upstream.start(echoes), await PoolUser.start()]
    t.equal(await user.outcome(good.port), 'opened')
    await run(user, bad.port, t, bad)
    t.ok(bad.accepted <= dials, `bounded work: ${bad.accepted} connections`)
    t.equal(await user.outcome(good.port), 'opened', 'a good upstream is served')
    t.equal(good.accepted, 1, 'over the connection it had')
    t.ok(await eventually(() => bad.peers.size === 0 && user.pool.size === 1), 'the bad connections are ended')
    user.close()
    good.close()
    bad.close()
    t.ok(await eventually(() => user.applications.sockets.size === 0 && user.pool.size === 0), 'nothing left: sockets')
    t.ok(
      await eventually(() => user.clock instanceof FakeClock && user.clock.pendingTimers === 0),
      'nothing left: timers',
    )
    t.ok(await eventually(() => descriptors() <= before), 'nothing left: descriptors')
  })
}

/** Requests together, each to its end, while time passes. */
async function outcomes(user: PoolUser, port: number, count: number): Promise<string[]> {
  const all = Promise.all(Array.from({ length: count }, async () => user.outcome(port)))
  const done = new AbortController()
  void all.then(() => done.abort())
  for (let i = 0; i < 600 && !done.signal.aborted; i++) await user.pass(100)
  return all
}

hostile(
  'GOAWAY and MAX_CONCURRENT_STREAMS 0 at once, CVE-2021-32780',
  20,
  (peer) => void peer.send(settings([3, 0]), goaway(0)),
  async (user, port, t) => {
    t.same(new Set(await outcomes(user, port, 50)), new Set(['h2']))
    for (let i = 0; i < 5; i++) t.same(await outcomes(user, port, 1), ['h2'])
  },
)

hostile(
  'MAX_CONCURRENT_STREAMS 0 without GOAWAY',
  6,
  (peer) => {
    void peer.send(settings([3, 0]), frame(Type.settings, ACK, 0))
    peer.onFrame = ({ type, stream }) => {
      if (type === Type.headers) void peer.send(reset(stream, Code.refused))
    }
  },
  async (user, port, t) => {
    t.same(new Set(await outcomes(user, port, 50)), new Set(['h2']))
  },
)

hostile(
  'a refusal storm: GOAWAY for every stream that is opened',
  12,
  (peer) => {
    void peer.send(settings())
    peer.onFrame = ({ type }) => {
      if (type === Type.headers) void peer.send(goaway(0))
    }
  },
  async (user, port, t) => {
    t.same(new Set(await outcomes(user, port, 100)), new Set(['h2']))
    for (let i = 0; i < 5; i++) t.same(await outcomes(user, port, 1), ['h2'])
  },
)

hostile(
  'every stream is refused',
  4,
  (peer) => {
    void peer.send(settings(), frame(Type.settings, ACK, 0))
    peer.onFrame = ({ type, stream }) => {
      if (type === Type.headers) void peer.send(reset(stream, Code.refused))
    }
  },
  async (user, port, t, upstream) => {
    t.same(new Set(await outcomes(user, port, 40)), new Set(['h2']))
    const asked = [...upstream.peers].flatMap((peer) => peer.of(Type.headers)).length
    t.ok(asked <= 80, `${asked} requests for 40`)
    for (const peer of upstream.peers) peer.destroy()
  },
)

const onRequest = (answer: (stream: number) => Buffer[]) => (peer: RawPeer) => {
  void peer.send(settings(), frame(Type.settings, ACK, 0))
  peer.onFrame = ({ type, stream }) => {
    if (type === Type.headers) void peer.send(...answer(stream))
  }
}

/** The answer floods: `make` is sent until the client has had enough. */
const flooding =
  (make: (stream: number) => Buffer, first: (stream: number) => Buffer[] = () => []) =>
  (peer: RawPeer) => {
    void peer.send(settings(), frame(Type.settings, ACK, 0))
    peer.onFrame = ({ type, stream }) => {
      if (type === Type.headers)
        void peer.send(...first(stream)).then(async () => peer.flood(100_000, () => make(stream)))
    }
  }

const BAD_ANSWERS: Record<string, (peer: RawPeer) => void> = {
  PING: flooding(ping),
  SETTINGS: flooding(() => settings()),
  'interim responses': flooding((stream) => headers(stream, literal(':status', '103'))),
  'CONTINUATION, CVE-2024-27919': flooding(
    (stream) => continuation(stream, Buffer.alloc(0)),
    (stream) => [headers(stream, OK, 0)],
  ),
  'unknown frames': flooding(() => frame(Type.unknown, 0, 0)),
  WINDOW_UPDATE: flooding(() => windowUpdate(0, 1)),
  'SETTINGS acknowledgements': flooding(() => frame(Type.settings, ACK, 0)),
  'PING acknowledgements': flooding(() => frame(Type.ping, ACK, 0, Buffer.from('liveness'))),
  'RST_STREAM over and over': flooding((stream) => reset(stream)),
  'a header list above the limit, over and over': flooding(
    (stream) => headers(stream, Buffer.alloc(100, NEWEST)),
    (stream) => [headers(stream, Buffer.concat([literal(':status', '103'), literal('a', 'c'.repeat(3900), true)]))],
  ),
  'an HPACK bomb': onRequest((stream) => [
    headers(stream, Buffer.concat([literal(':status', '103'), literal('a', 'c'.repeat(3900), true)])),
    headers(stream, Buffer.alloc(16_000, NEWEST)),
  ]),
  'a response on a stream that was not opened': onRequest((stream) => [headers(stream + 2, OK)]),
  'a request from the server': onRequest(() => [headers(2, OK)]),
  'a push': onRequest((stream) => [frame(Type.pushPromise, END_HEADERS, stream, Buffer.concat([u32(2), OK]))]),
  'a frame above our limit': onRequest((stream) => [frame(Type.data, 0, stream, Buffer.alloc(0), 0x10_0001)]),
  'a window that overflows': onRequest(() => [windowUpdate(0, 0x7fff_ffff)]),
  'a field that does not exist': onRequest((stream) => [headers(stream, Buffer.of(0xff, 0xff, 0x01))]),
}

for (const [name, script] of Object.entries(BAD_ANSWERS)) {
  hostile(`the answer is ${name}`, 3, script, async (user, port, t) => {
    const [outcome] = await outcomes(user, port, 1)
    t.equal(outcome, 'h2')
  })
}

void t.test('SETTINGS_ENABLE_PUSH of a server, RFC 9113 §6.5.2', async (t) => {
  for (const [value, code] of [
    [0, undefined],
    [1, Code.protocol],
  ] as const) {
    let first: RawPeer | undefined
    const upstream = await Upstream.start((peer) => {
      first ??= peer
      onRequest((stream) => [headers(stream, OK)])(peer)
      void peer.send(settings([2, value]))
    })
    const user = await PoolUser.start()
    t.equal(await user.outcome(upstream.port), value === 0 ? 'opened' : 'h2')
    t.ok(await eventually(() => first?.goawayCode === code), `${value} is answered with ${first?.goawayCode}`)
    user.close()
    upstream.close()
  }
})

const MALFORMED: Record<string, Buffer> = {
  'without a status': literal('a', 'b'),
  'with a field name in upper case': Buffer.concat([OK, literal('A', 'b')]),
  'with 101': literal(':status', '101'),
  'with a request inside': Buffer.concat([OK, literal(':path', '/')]),
}

for (const [name, block] of Object.entries(MALFORMED)) {
  hostile(
    `a malformed answer ${name} costs that request only`,
    1,
    onRequest((stream) => [headers(stream, block)]),
    async (user, port, t, upstream) => {
      t.same(await outcomes(user, port, 3), ['h2', 'h2', 'h2'])
      for (const peer of upstream.peers) {
        t.ok(await eventually(() => peer.resets.length === 3), 'each is reset')
        peer.destroy()
      }
    },
  )
}

hostile(
  'DATA before the answer',
  1,
  onRequest((stream) => [data(stream, 'x'), reset(stream)]),
  async (user, port, t, upstream) => {
    t.same(await outcomes(user, port, 1), ['h2'])
    for (const peer of upstream.peers) peer.destroy()
  },
)

hostile(
  'DATA instead of the answer, a window full of it, costs that request only',
  1,
  onRequest((stream) => Array.from({ length: 250 }, () => data(stream, Buffer.alloc(16_000)))),
  async (user, port, t, upstream) => {
    t.same(await outcomes(user, port, 3), ['h2', 'h2', 'h2'])
    await isResetOnly(t, upstream, 3)
  },
)

hostile(
  'DATA after an interim response',
  1,
  onRequest((stream) => [headers(stream, literal(':status', '103')), data(stream, 'x', END_STREAM)]),
  async (user, port, t, upstream) => {
    t.same(await outcomes(user, port, 1), ['h2'])
    await isResetOnly(t, upstream, 1)
  },
)

/** Its streams are reset with PROTOCOL_ERROR, and the connection goes on until it is closed here. */
async function isResetOnly(t: Test, { peers }: Upstream, streams: number): Promise<void> {
  const [peer] = peers
  t.ok(await eventually(() => peer?.resets.length === streams), 'each is reset')
  t.ok(
    peer?.resets.every(({ code }) => code === Code.protocol),
    'with PROTOCOL_ERROR',
  )
  t.equal(peer?.goawayCode, undefined)
  peer?.destroy()
}

hostile(
  'no SETTINGS at all',
  3,
  () => {},
  async (user, port, t) => {
    t.same(await outcomes(user, port, 3), ['h2', 'h2', 'h2'])
  },
)

hostile(
  'PING is answered, the CONNECT never',
  1,
  (peer) => {
    void peer.send(settings([3, 100]), frame(Type.settings, ACK, 0))
    peer.onFrame = ({ type, flags, payload }) => {
      if (type === Type.ping && flags === 0) void peer.send(frame(Type.ping, ACK, 0, payload))
    }
  },
  async (user, port, t, upstream) => {
    t.same(new Set(await outcomes(user, port, 50)), new Set(['answer-timeout']))
    for (const peer of upstream.peers) {
      t.ok(await eventually(() => peer.resets.length === 50), 'each is reset')
      t.ok(
        peer.resets.every(({ code }) => code === Code.cancel),
        'with CANCEL',
      )
      peer.destroy()
    }
  },
)
