// Servers answer a refused CONNECT completely and then reset it with NO_ERROR (RFC 9113 §8.1): ours, h2 of Rust, Envoy. However
// many are refused, the other tunnels of the connection go on. The clock stands still, so no rate allows for any of it.
import { HboneError } from '@ambit/shared/hbone'
import t, { type Test } from 'tap'
import { descriptors, eventually } from './kit.ts'
import {
  ACK,
  Code,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  literal,
  OK,
  reset,
  settings,
  Type,
  windowUpdate,
} from './raw-frames.ts'
import type { RawPeer } from './raw-peer.ts'
import { steadyStream } from './steady-stream.ts'
import { PoolUser, Upstream } from './upstream.ts'
import { Victim } from './victim.ts'

const REFUSALS = 6000
const AT_ONCE = 50

/** A server that echoes on the first stream and refuses all others with `refuse`. */
function refusing(refuse: (stream: number) => Buffer[]): (peer: RawPeer) => void {
  return (peer) => {
    void peer.send(settings([3, 100]))
    peer.onFrame = ({ type, flags, stream, payload }) => {
      if (type === Type.settings && flags === 0) void peer.send(frame(Type.settings, ACK, 0))
      if (type === Type.headers) void peer.send(...(stream === 1 ? [headers(1, OK)] : refuse(stream)))
      if (type !== Type.data || stream !== 1) return
      const credit = payload.length > 0 ? [windowUpdate(0, payload.length), windowUpdate(1, payload.length)] : []
      void peer.send(...credit, data(1, payload, flags & END_STREAM))
    }
  }
}

/** Refused requests without a pause beside one steady tunnel, which must not notice. */
async function storm(
  t: Test,
  user: PoolUser,
  port: number,
  connections: () => number,
  expected: string,
): Promise<void> {
  const stop = new AbortController()
  const steady = steadyStream(user, port, stop.signal)
  steady.catch(() => {}) // awaited below
  t.ok(await eventually(() => user.applications.sockets.size > 0), 'the steady tunnel is open')
  const outcomes = new Map<string, number>()
  const started = Date.now()
  let asked = 0
  const ask = async (): Promise<void> => {
    while (asked++ < REFUSALS) {
      const outcome = await refusalOf(user, port)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, ask))
  const perSecond = Math.round((REFUSALS * 1000) / (Date.now() - started))
  t.same([...outcomes], [[expected, REFUSALS]], `every refusal is one (${perSecond} a second)`)
  stop.abort()
  t.ok((await steady) > 0, 'the steady tunnel brought every byte')
  t.equal(connections(), 1, 'all over one connection')
}

async function refusalOf(user: PoolUser, port: number): Promise<string> {
  try {
    ;(await user.open(port, 'busy:1')).reset()
    return 'opened'
  } catch (error) {
    return error instanceof HboneError ? `${error.code} ${error.status ?? ''}`.trim() : String(error)
  }
}

void t.test('of our own server', async (t) => {
  const before = descriptors()
  const [victim, user] = [await Victim.start(), await PoolUser.start()]
  await storm(t, user, victim.port, () => victim.connections.size, 'status 503')
  user.close()
  victim.close()
  t.ok(await eventually(() => victim.connections.size === 0), 'nothing left: connections')
  t.ok(await eventually(() => descriptors() <= before + 1), 'nothing left: descriptors')
})

const answer401 = (stream: number) => headers(stream, literal(':status', '401'), END_HEADERS | END_STREAM)

const REFUSALS_BY_OTHERS: Record<string, [expected: string, refuse: (stream: number) => Buffer[]]> = {
  'a complete answer and RST_STREAM': ['status 401', (stream) => [answer401(stream), reset(stream, Code.noError)]],
  'RST_STREAM alone': ['h2', (stream) => [reset(stream)]],
}

for (const [name, [expected, refuse]] of Object.entries(REFUSALS_BY_OTHERS)) {
  void t.test(`of another server: ${name}`, async (t) => {
    const before = descriptors()
    const [upstream, user] = [await Upstream.start(refusing(refuse)), await PoolUser.start()]
    await storm(t, user, upstream.port, () => upstream.accepted, expected)
    user.close()
    upstream.close()
    t.ok(await eventually(() => user.pool.size === 0 && user.applications.sockets.size === 0), 'nothing left: sockets')
    t.ok(await eventually(() => descriptors() <= before + 1), 'nothing left: descriptors')
  })
}
