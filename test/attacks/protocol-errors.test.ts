// CVE-2026-48937 (GOAWAY without clean-up): after ANY connection error of RFC 9113 the connection ends and leaves nothing.
// Among them: CVE-2026-21714 (WINDOW_UPDATE overflow).
import { attack, eventually, type Bounds } from './kit.ts'
import {
  ACK,
  Code,
  CONNECT,
  connectBlock,
  continuation,
  data,
  END_HEADERS,
  frame,
  headers,
  PADDED,
  PREFACE,
  PRIORITY,
  reset,
  settings,
  settingsPayload,
  Type,
  u32,
  windowUpdate,
} from './raw-frames.ts'

const zeros = (length: number) => Buffer.alloc(length)
const stream1 = headers(1, connectBlock('pending:1'))

const ERRORS: [code: number, what: string, ...frames: Buffer[]][] = [
  [Code.flowControl, 'WINDOW_UPDATE that overflows the connection window', windowUpdate(0, 0x7fff_ffff)],
  [Code.protocol, 'WINDOW_UPDATE of 0 on the connection', windowUpdate(0, 0)],
  [Code.protocol, 'WINDOW_UPDATE on an idle stream', windowUpdate(7, 1)],
  [Code.frameSize, 'WINDOW_UPDATE of three octets', frame(Type.windowUpdate, 0, 0, zeros(3))],
  [Code.protocol, 'DATA on an idle stream', data(7, 'x')],
  [Code.protocol, 'DATA on the connection', data(0, 'x')],
  [Code.protocol, 'DATA with more padding than payload', stream1, data(1, Buffer.of(9, 1, 2), PADDED)],
  [Code.frameSize, 'padded DATA without a pad length', stream1, data(1, '', PADDED)],
  // RFC 9113 §5.1.1: an id that was passed over may not be opened any more. §5.1: one that was used is closed.
  [Code.protocol, 'a stream id that goes backwards', headers(5, CONNECT), headers(3, CONNECT)],
  [Code.streamClosed, 'a stream id that was used', headers(1, CONNECT), reset(1), headers(1, CONNECT)],
  [
    Code.streamClosed,
    'a stream id that was used, after others were passed over',
    headers(1, CONNECT),
    reset(1),
    headers(7, connectBlock('pending:1')),
    headers(1, CONNECT),
  ],
  [Code.protocol, 'an even stream id', headers(2, CONNECT)],
  [Code.protocol, 'HEADERS on the connection', headers(0, CONNECT)],
  [Code.protocol, 'HEADERS with more padding than payload', headers(1, Buffer.of(200, 1), END_HEADERS | PADDED)],
  // §4.2: a frame too small for its mandatory fields.
  [Code.frameSize, 'padded HEADERS without a pad length', headers(1, zeros(0), END_HEADERS | PADDED)],
  [Code.frameSize, 'HEADERS too short for its priority fields', headers(1, zeros(3), END_HEADERS | PRIORITY)],
  [
    Code.frameSize,
    'padded HEADERS too short for its priority fields',
    headers(1, zeros(5), END_HEADERS | PADDED | PRIORITY),
  ],
  [
    Code.protocol,
    'HEADERS with padding that leaves no room for its priority fields',
    headers(1, Buffer.of(1, 0, 0, 0, 0, 0), END_HEADERS | PADDED | PRIORITY),
  ],
  [Code.compression, 'HEADERS with an index that does not exist', headers(1, Buffer.of(0xff, 0xff, 0x01))],
  [Code.compression, 'HEADERS with a number that overflows', headers(1, Buffer.alloc(20, 0xff))],
  [Code.compression, 'HEADERS cut in a string', headers(1, Buffer.of(0x00, 0x05, 0x61))],
  [Code.compression, 'HEADERS with a table above our limit', headers(1, Buffer.of(0x3f, 0xff, 0xff, 0x03))],
  [
    Code.compression,
    'HEADERS with Huffman code that ends in EOS',
    headers(1, Buffer.of(0, 0x84, 255, 255, 255, 255, 0)),
  ],
  [Code.protocol, 'CONTINUATION without HEADERS', continuation(1, CONNECT)],
  [Code.protocol, 'CONTINUATION after END_HEADERS', stream1, continuation(1, CONNECT)],
  [Code.protocol, 'CONTINUATION of another stream', headers(1, CONNECT, 0), continuation(3, CONNECT)],
  [Code.protocol, 'a header block interrupted by PING', headers(1, CONNECT, 0), frame(Type.ping, 0, 0, zeros(8))],
  [Code.protocol, 'a header block interrupted by an unknown frame', headers(1, CONNECT, 0), frame(Type.unknown, 0, 0)],
  [Code.protocol, 'a header block interrupted by HEADERS', headers(1, CONNECT, 0), headers(3, CONNECT)],
  [Code.protocol, 'RST_STREAM on an idle stream', reset(7)],
  [Code.protocol, 'RST_STREAM on the connection', reset(0)],
  [Code.frameSize, 'RST_STREAM of five octets', stream1, frame(Type.reset, 0, 1, zeros(5))],
  [Code.frameSize, 'SETTINGS of five octets', frame(Type.settings, 0, 0, zeros(5))],
  [Code.frameSize, 'SETTINGS acknowledgement with a payload', frame(Type.settings, ACK, 0, zeros(6))],
  [Code.protocol, 'SETTINGS on a stream', frame(Type.settings, 0, 1)],
  [Code.protocol, 'SETTINGS_ENABLE_PUSH 2', settings([2, 2])],
  [Code.flowControl, 'SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1', settings([4, 0x8000_0000])],
  [Code.protocol, 'SETTINGS_MAX_FRAME_SIZE 16383', settings([5, 16_383])],
  [Code.protocol, 'SETTINGS_MAX_FRAME_SIZE 2^24', settings([5, 0x100_0000])],
  [Code.calm, 'SETTINGS with ten thousand entries', frame(Type.settings, 0, 0, settingsPayload(...manySettings()))],
  [
    Code.flowControl,
    'SETTINGS that overflow a stream window',
    stream1,
    windowUpdate(1, 0x7fff_0000),
    settings([4, 0x7fff_ffff]),
  ],
  [Code.frameSize, 'PING of seven octets', frame(Type.ping, 0, 0, zeros(7))],
  [Code.protocol, 'PING on a stream', frame(Type.ping, 0, 1, zeros(8))],
  [Code.frameSize, 'GOAWAY of four octets', frame(Type.goaway, 0, 0, zeros(4))],
  [Code.protocol, 'GOAWAY on a stream', frame(Type.goaway, 0, 1, zeros(8))],
  [Code.protocol, 'PUSH_PROMISE from a client', frame(Type.pushPromise, END_HEADERS, 1, u32(2))],
  [Code.protocol, 'PRIORITY on the connection', frame(Type.priority, 0, 0, zeros(5))],
  // No RST_STREAM may name an idle stream (§6.4), so what is otherwise a stream error ends the connection.
  [Code.frameSize, 'PRIORITY of four octets on an idle stream', frame(Type.priority, 0, 7, zeros(4))],
  [Code.frameSize, 'a frame above our limit', frame(Type.data, 0, 1, zeros(10), 0x10_0001)],
  [Code.calm, 'HEADERS of a megabyte', frame(Type.headers, END_HEADERS, 1, zeros(10), 0x10_0000)],
]

for (const [ends, what, ...frames] of ERRORS) {
  attack(what, { ends, tunnels: 2, dials: 2 }, async (peer) => peer.send(...frames))
}

attack(
  'more DATA than the connection window',
  { ends: Code.flowControl, tunnels: 1, limits: { connectionWindowBytes: 100_000, maxHeldBytes: 1000 } },
  async (peer) => {
    await peer.send(stream1, ...Array.from({ length: 12 }, () => data(1, zeros(16_384))))
  },
)

attack(
  'PRIORITY of a wrong size costs its stream only, RFC 9113 §6.3',
  { ends: 'tolerated', tunnels: 3 },
  async (peer, _victim, t) => {
    for (const [i, octets] of [0, 4, 6].entries()) {
      const stream = 1 + 2 * i
      await peer.send(headers(stream, connectBlock('pending:1')), frame(Type.priority, 0, stream, zeros(octets)))
    }
    t.ok(await eventually(() => peer.resets.length === 3))
    t.same(
      peer.resets,
      [1, 3, 5].map((stream) => ({ stream, code: Code.frameSize })),
    )
    // The peer may not know of the reset yet.
    await peer.send(frame(Type.priority, 0, 1, zeros(4)))
  },
)

const WITHOUT_PREFACE: Record<string, Buffer[]> = {
  'an HTTP/1.1 request': [Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
  'a preface with one wrong octet': [Buffer.from(PREFACE.toString('latin1').replace('SM', 'SN'), 'latin1'), settings()],
  'no SETTINGS first': [PREFACE, frame(Type.ping, 0, 0, zeros(8))],
  'a SETTINGS acknowledgement first': [PREFACE, frame(Type.settings, ACK, 0)],
}

for (const [what, frames] of Object.entries(WITHOUT_PREFACE)) {
  attack(what, { ends: Code.protocol, tunnels: 0, hasPreface: false }, async (peer) => peer.send(...frames))
}

const stubborn: Bounds = { ends: Code.protocol, tunnels: 1, dials: 1 }

attack('a peer that goes on sending after GOAWAY', stubborn, async (peer) => {
  await peer.send(headers(1, CONNECT), windowUpdate(0, 0))
  for (let i = 0; i < 2000 && !peer.isClosed; i++) await peer.send(data(1, zeros(16_384)))
})

attack('a peer that keeps its end open after GOAWAY and stays silent', stubborn, async (peer, victim) => {
  peer.socket.allowHalfOpen = true
  await peer.send(headers(1, CONNECT), windowUpdate(0, 0))
  await victim.pass(2000)
})

function manySettings(): [number, number][] {
  return Array.from({ length: 2000 }, (_, i) => [i + 100, i])
}
