// CVE-2019-9517 (a peer that does not read), CVE-2019-9511 (tiny windows), CVE-2024-27983 (cut inside HEADERS): peers that stop
// half-way and hope to hold resources for ever.
import { connect, type Socket } from 'node:net'
import { DEFAULT_LIMITS } from '@ambit/shared/hbone'
import { BURST_BYTES, SMALL_BURST_BYTES } from '@ambit/shared/io'
import { attack, eventually } from './kit.ts'
import {
  ACK,
  Code,
  CONNECT,
  connectBlock,
  data,
  frame,
  headers,
  PREFACE,
  reset,
  settings,
  Type,
  windowUpdate,
} from './raw-frames.ts'
import type { RawPeer, ReceivedFrame } from './raw-peer.ts'
import type { Victim } from './victim.ts'

const { handshakeTimeoutMs, settingsTimeoutMs, pingIntervalMs, pingTimeoutMs } = DEFAULT_LIMITS
// The victim's handshake may end a little later than the peer's, and so may what is counted from its end.
const slackMs = 2000
const silenceMs = pingIntervalMs + pingTimeoutMs + slackMs
const MIB = 1_048_576
const STREAM_WINDOW = 16 * MIB
/** Of 50 streams a small read each; what was gathered for the next write; and the few that had a turn before it stalled. */
const ONE_READ_OF_EACH = 50 * SMALL_BURST_BYTES + 12 * BURST_BYTES
const settingsAck = frame(Type.settings, ACK, 0)

/** From here on the peer answers PING, as an attacker who wants to stay would. */
function staysAlive(peer: RawPeer): void {
  peer.onFrame = ({ type, flags, payload }) => {
    if (type === Type.ping && flags === 0) void peer.send(frame(Type.ping, ACK, 0, payload))
  }
}

const HALF_HANDSHAKES: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  'the beginning of a ClientHello': Buffer.from('1603010200010001fc0303', 'hex'),
  'no TLS at all': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
}

attack('TLS handshakes that never finish', { ends: 'tolerated', tunnels: 0 }, async (peer, victim, t) => {
  const sockets: Socket[] = []
  for (const bytes of Object.values(HALF_HANDSHAKES)) {
    for (let i = 0; i < 30; i++) {
      const socket = connect({ port: victim.port, host: '127.0.0.1' })
      socket.on('error', () => {}).resume()
      socket.write(bytes)
      sockets.push(socket)
    }
  }
  await eventually(() => victim.connections.size >= 60)
  await victim.pass(handshakeTimeoutMs - 500)
  t.ok(victim.connections.size > 2, 'they are given their time')
  await peer.send(settingsAck) // the one that finished its handshake is not to be ended for another reason
  await victim.pass(slackMs)
  t.ok(await eventually(() => sockets.every((socket) => socket.destroyed)), 'and then closed')
  t.ok(await eventually(() => victim.connections.size === 2))
})

attack('TLS and then nothing', { ends: Code.settingsTimeout, tunnels: 0, hasPreface: false }, async (_peer, victim) => {
  await victim.pass(settingsTimeoutMs + slackMs)
})

attack('half a preface', { ends: Code.settingsTimeout, tunnels: 0, hasPreface: false }, async (peer, victim) => {
  await peer.send(PREFACE.subarray(0, 20))
  await victim.pass(settingsTimeoutMs + slackMs)
})

attack(
  'SETTINGS that are never acknowledged',
  { ends: Code.settingsTimeout, tunnels: 1, dials: 1 },
  async (peer, victim) => {
    await peer.send(headers(1, CONNECT))
    await victim.pass(settingsTimeoutMs + slackMs)
  },
)

attack('a peer that is silent for ever', { ends: 'cut', tunnels: 1, dials: 1 }, async (peer, victim) => {
  await peer.send(settingsAck, headers(1, CONNECT))
  await victim.pass(silenceMs)
})

const CUTS: Record<string, Buffer> = {
  'inside HEADERS': headers(1, CONNECT).subarray(0, 15),
  'between HEADERS and CONTINUATION': headers(1, CONNECT, 0),
  'inside a frame header': headers(1, CONNECT).subarray(0, 4),
  'inside DATA': Buffer.concat([headers(1, CONNECT), data(1, Buffer.alloc(1000)).subarray(0, 300)]),
}

for (const [where, bytes] of Object.entries(CUTS)) {
  attack(`a connection that is cut ${where}`, { ends: 'cut', tunnels: 1, dials: 1 }, async (peer, victim) => {
    await peer.send(bytes)
    await eventually(() => victim.connections.size === 2)
    peer.destroy()
  })
}

attack(
  'a stream window of 0, with applications that send',
  { ends: 'tolerated', tunnels: 50, dials: 50, bufferedBytes: ONE_READ_OF_EACH },
  async (peer, victim, t) => {
    staysAlive(peer)
    await peer.send(settingsAck, settings([4, 0]))
    for (let i = 0; i < 50; i++) await peer.send(headers(1 + 2 * i, connectBlock('pump:1')))
    await eventually(() => victim.tunnels === 51)
    await victim.pass(3 * silenceMs)
    t.equal(peer.dataBytes, 0)
  },
)

attack(
  'a peer with large windows that does not read',
  { ends: 'cut', tunnels: 50, dials: 50, bufferedBytes: ONE_READ_OF_EACH },
  async (peer, victim) => {
    await peer.send(settingsAck, settings([4, 0x7fff_ffff]), windowUpdate(0, 0x7fff_0000))
    for (let i = 0; i < 50; i++) await peer.send(headers(1 + 2 * i, connectBlock('pump:1')))
    await eventually(() => victim.tunnels === 51)
    peer.socket.pause()
    await victim.pass(silenceMs)
  },
)

attack(
  'a peer that does not read and asks for answers',
  {
    ends: 'cut',
    tunnels: 0,
    limits: { answers: { burst: 1e9, perSecond: 0 } },
    bufferedBytes: DEFAULT_LIMITS.maxQueuedControlBytes + 100_000,
  },
  async (peer, victim) => {
    // Without the limit on PING, the limit on what waits to be written has to hold.
    peer.socket.pause()
    await peer.flood(400_000, () => frame(Type.ping, 0, 0, Buffer.alloc(8)), 1000)
    await victim.pass(2000)
  },
)

attack('windows opened one octet at a time', { ends: 'tolerated', tunnels: 1, dials: 1 }, async (peer, victim, t) => {
  await peer.send(settingsAck, settings([4, 1]), headers(1, connectBlock('pump:1')))
  await eventually(() => victim.tunnels === 2)
  await peer.flood(3000, () => windowUpdate(1, 1), 20)
  t.ok(await eventually(() => peer.dataBytes === 3001))
})

/** Sends on streams to applications that do not read until the victim gives no more credit. Returns how much. */
async function fillDeaf(peer: RawPeer, victim: Victim, streams: number, tunnelsBefore = 1): Promise<number> {
  let window = 65_535
  const credit = ({ type, stream, payload }: ReceivedFrame): void => {
    if (type === Type.windowUpdate && stream === 0) window += payload.readUInt32BE(0)
  }
  peer.frames.forEach(credit)
  peer.onFrame = credit
  for (let i = 0; i < streams; i++) await peer.send(headers(1 + 2 * i, connectBlock('deaf:1')))
  await eventually(() => victim.tunnels === tunnelsBefore + streams)
  // By their own windows the streams may send 48 MB, more than the kernel keeps for them; the connection has to stop them.
  const left = Array.from({ length: streams }, () => STREAM_WINDOW)
  let sent = 0
  for (let idle = 0; idle < 50;) {
    const i = left.findIndex((bytes) => bytes >= 16_384)
    if (i < 0 || window < 16_384) {
      idle++
      await new Promise((resolve) => setTimeout(resolve, 2))
      continue
    }
    idle = 0
    left[i] = (left[i] ?? 0) - 16_384
    window -= 16_384
    sent += 16_384
    await peer.send(data(1 + 2 * i, Buffer.alloc(16_384)))
  }
  return sent
}

attack(
  'data for applications that do not read',
  {
    ends: 'tolerated',
    tunnels: 3,
    dials: 3,
    limits: { streamWindowBytes: STREAM_WINDOW, connectionWindowBytes: 2 * MIB, maxHeldBytes: 2 * MIB },
    // What was held when credit stopped, and the credit that was given before.
    bufferedBytes: 4 * MIB + 100_000,
  },
  async (peer, victim, t) => {
    const sent = await fillDeaf(peer, victim, 3)
    t.ok(sent < 3 * STREAM_WINDOW, `stopped after ${sent} bytes`)
  },
)

attack(
  'data for applications that do not read, over many connections',
  {
    ends: 'tolerated',
    tunnels: 12,
    dials: 12,
    limits: { streamWindowBytes: STREAM_WINDOW, connectionWindowBytes: 2 * MIB, maxHeldBytes: 2 * MIB },
    maxHeldMemoryBytes: 6 * MIB,
    bufferedBytes: 4 * MIB + 100_000,
  },
  async (first, victim, t) => {
    const peers = [first, await victim.rawPeer(), await victim.rawPeer(), await victim.rawPeer()]
    for (const [i, peer] of peers.entries()) {
      if (peer !== first) await peer.send(PREFACE, settings())
      await fillDeaf(peer, victim, 3, victim.tunnels)
      t.ok(victim.heldMemory.bytes <= 6 * MIB, `${victim.heldMemory.bytes} bytes are held for ${i + 1} connections`)
    }
    const resets = peers.flatMap((peer) => peer.resets)
    t.ok(resets.length > 0, 'streams were reset')
    t.same([...new Set(resets.map(({ code }) => code))], [Code.calm])
    t.notOk(
      peers.some(({ isClosed }) => isClosed),
      'connections go on',
    )
    for (const peer of peers.slice(1)) peer.destroy()
  },
)

attack(
  'data left behind for an application that does not read',
  {
    ends: 'cut',
    tunnels: 1,
    dials: 1,
    limits: { streamWindowBytes: STREAM_WINDOW, connectionWindowBytes: 2 * MIB, maxHeldBytes: 2 * MIB },
    bufferedBytes: 4 * MIB + 100_000,
  },
  async (peer, victim, t) => {
    await fillDeaf(peer, victim, 1)
    await peer.send(reset(1))
    peer.destroy()
    t.ok(await eventually(() => victim.leftovers.count === 1), 'it is kept for a while')
    t.equal(victim.connections.size, 2)
    await victim.pass(31_000)
    t.same([victim.leftovers.count, victim.leftovers.bytes], [0, 0])
  },
)
