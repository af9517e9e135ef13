import t from 'tap'
import { accepted, bothIos, eventually, turn } from '../io/io-fixture.ts'
import { FrameType } from './frames.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { frame, quietServer, request } from './quiet-server-fixture.ts'
import { ReceiveCredit, type CreditHost } from './receive-credit.ts'

const WINDOW = 1000

/** A connection that notes what it is told. */
class FakeHost implements CreditHost {
  windowBytes = WINDOW
  heldBytes = 0
  /** Credit given, in order. */
  readonly given: number[] = []
  readonly send = {
    numberFrame: (_type: number, _streamId: number, credit: number): void => void this.given.push(credit),
  }

  readonly streams = { held: (change: number): void => void (this.heldBytes += change) }
}

function creditOf(host: FakeHost): ReceiveCredit {
  return new ReceiveCredit(host, 1, WINDOW)
}

void t.test('what is held is no credit until the application took it', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  t.ok(credit.receive(WINDOW))
  credit.hold(WINDOW)
  t.same([credit.heldBytes, host.heldBytes, host.given], [WINDOW, WINDOW, []])
  credit.taken(499)
  t.same(host.given, [], 'little is not worth a frame')
  credit.taken(1)
  t.same([credit.heldBytes, host.heldBytes, host.given], [500, 500, [500]])
  t.notOk(credit.receive(501), 'more than was given')
})

void t.test('padding is credit at once, and no part of what is held', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  credit.receive(600)
  credit.release(600)
  t.same([credit.heldBytes, host.heldBytes, host.given], [0, 0, [600]])
})

void t.test('where less should be under way, credit is withheld until the peer has used up more', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  host.windowBytes = 200
  credit.receive(700)
  credit.hold(700)
  credit.taken(700)
  t.same(host.given, [])
  credit.receive(200)
  credit.hold(200)
  credit.taken(200)
  t.same(host.given, [100])
})

void t.test('a peer that has ended gets no credit, though the rest is still taken', async (t) => {
  const host = new FakeHost()
  const credit = creditOf(host)
  credit.receive(WINDOW)
  credit.hold(WINDOW)
  credit.end()
  t.ok(credit.hasEnded)
  credit.taken(600)
  t.same([credit.heldBytes, host.given], [400, []])
  credit.drop()
  credit.drop()
  t.same([credit.heldBytes, host.heldBytes, host.given], [0, 0, []])
})

void t.test(
  'a peer that pads its frames has credit for all of them, on the stream and on the connection',
  async (t) => {
    const { streamWindowBytes, connectionWindowBytes } = DEFAULT_LIMITS
    const [octets, padding] = [100, 255]
    const padded = frame(FrameType.data, 0x8, 1, Buffer.alloc(1 + octets + padding, Buffer.of(padding)))
    const size = padded.length - 9
    for (const io of bothIos()) {
      const { connection, streams, bring, credit, port } = await quietServer(io)
      bring(request(1))
      const { end, socket } = await accepted(io)
      const splice = streams[0]?.attach(end)
      let taken = 0
      socket.on('data', (bytes) => (taken += bytes.length))
      let frames = 0
      const left = (id: number, window: number): number => window + (credit.get(id) ?? 0) - frames * size
      while (frames * size < connectionWindowBytes && left(1, streamWindowBytes) >= 64 * size) {
        if (port.isPaused) await turn()
        bring(Buffer.concat(Array.from({ length: 64 }, () => padded)))
        frames += 64
        if (frames % 1024 === 0) await eventually(() => taken === frames * octets, 'the application took it')
      }
      t.ok(frames * size >= connectionWindowBytes, `${io.name}: ${frames * size} octets went through`)
      t.ok(left(0, connectionWindowBytes) >= connectionWindowBytes / 2)
      connection.destroy()
      await Promise.allSettled([splice])
      socket.destroy()
    }
  },
)
