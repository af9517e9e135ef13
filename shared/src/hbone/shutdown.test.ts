import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { HeapSlab } from '../io/index.ts'
import { bothIos } from '../io/io-fixture.ts'
import { silentLog } from '../log/index.ts'
import { HboneConnection } from './connection.ts'
import { ErrorCode } from './error-code.ts'
import { FrameType, MAX_STREAM_ID } from './frames.ts'
import { connectRequestBlock } from './header-block.ts'
import { HeldMemory } from './held-memory.ts'
import { Leftovers } from './leftovers.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { frame, QuietPort } from './quiet-server-fixture.ts'
import { Shutdown, type ShutdownOptions } from './shutdown.ts'

const { closeTimeoutMs } = DEFAULT_LIMITS

/** A connection that notes what becomes of it, in order. */
class FakeConnection {
  readonly clock = new FakeClock()
  readonly streams = { size: 0 }
  readonly ids = { highest: 0 }
  /** Since last asked for. */
  events: string[] = []
  readonly shutdown: Shutdown
  pingPayload = Buffer.alloc(0)
  #finish: () => void = () => {}

  constructor(role: 'client' | 'server', streams = 0) {
    this.streams.size = streams
    this.ids.highest = Math.max(0, 2 * streams - 1)
    const note = (event: string): void => void this.events.push(event)
    const send: ShutdownOptions['send'] = {
      goaway: (lastStreamId, h2Code) => note(`GOAWAY ${lastStreamId} ${h2Code}`),
      frame: (_type, _flags, _streamId, payload) => {
        this.pingPayload = Buffer.from(payload ?? [])
        note('PING')
      },
      finish: (onIdle) => {
        this.#finish = onIdle
        note('finish')
      },
    }
    this.shutdown = new Shutdown({
      role,
      clock: this.clock,
      closeTimeoutMs,
      send,
      ids: this.ids,
      streams: this.streams,
      endPort: () => note('FIN'),
      loseStreams: (why) => {
        note(`lose: ${why}`)
        while (this.streams.size > 0) this.streamEnds()
      },
      onClosing: () => note('closing'),
      onClosed: (why) => note(`closed: ${why}`),
      onChange: () => note(this.shutdown.state),
    })
  }

  streamEnds(): void {
    this.streams.size--
    this.shutdown.closeIfDrained()
  }

  /** All frames are written. */
  written(): void {
    this.#finish()
  }

  /** What has happened since. */
  seen(): string[] {
    const { events } = this
    this.events = []
    return events
  }
}

const WARNING = `GOAWAY ${MAX_STREAM_ID} 0`
const GOODBYE = ['closing', 'finish', 'closing']

void t.test('a client that drains closes when its last stream has ended', async (t) => {
  const connection = new FakeConnection('client', 2)
  const { shutdown, clock } = connection
  shutdown.drain()
  shutdown.drain()
  t.same(connection.seen(), ['GOAWAY 0 0', 'draining'], 'once')
  connection.streamEnds()
  t.same(connection.seen(), [])
  connection.streamEnds()
  t.same(connection.seen(), GOODBYE)
  connection.written()
  t.same(connection.seen(), ['FIN'])
  t.ok(shutdown.isClosing)
  await clock.advance(closeTimeoutMs)
  t.same(connection.seen(), ['closed: closed'], 'a peer that does not close is not waited for')
  t.same([shutdown.state, clock.pendingTimers], ['closed', 0])
})

void t.test('a server first warns, and refuses streams when the peer has certainly seen it', async (t) => {
  const connection = new FakeConnection('server')
  const { shutdown, clock, ids, streams } = connection
  shutdown.drain()
  t.same(connection.seen(), [WARNING, 'PING', 'warning'], 'without streams too: requests may be on their way')
  ids.highest = 7
  streams.size = 1
  t.ok(shutdown.admits(7))
  t.notOk(shutdown.pingAnswered(Buffer.from('liveness')))
  t.ok(shutdown.pingAnswered(connection.pingPayload))
  t.same(connection.seen(), ['GOAWAY 7 0'])
  t.same([shutdown.state, shutdown.admits(7), shutdown.admits(9), clock.pendingTimers], ['draining', true, false, 0])
  t.notOk(shutdown.pingAnswered(connection.pingPayload), 'it is answered once')
  connection.streamEnds()
  t.same(connection.seen(), GOODBYE)
  shutdown.close('the peer closed the connection')
  shutdown.close('again')
  t.same(connection.seen(), ['closed: the peer closed the connection'])
  t.equal(clock.pendingTimers, 0)
})

void t.test('a stream that ends during the warning does not close the connection', async (t) => {
  const connection = new FakeConnection('server', 1)
  connection.shutdown.drain()
  connection.streamEnds()
  t.same(connection.seen(), [WARNING, 'PING', 'warning'])
  await connection.clock.advance(closeTimeoutMs)
  t.same(connection.seen(), ['GOAWAY 1 0', ...GOODBYE], 'a peer that does not answer is not waited for')
})

void t.test('GOAWAY of the peer ends a warning, and closes what has no streams', async (t) => {
  const connection = new FakeConnection('server', 1)
  const { shutdown, clock, ids } = connection
  shutdown.drain()
  connection.seen()
  shutdown.peerDrains()
  t.same(connection.seen(), ['draining'])
  t.notOk(shutdown.admits(3))
  t.equal(clock.pendingTimers, 0)
  ids.highest = 3
  shutdown.peerDrains()
  t.notOk(shutdown.admits(3), 'a stream that was refused is not admitted later')
  t.same(connection.seen(), ['draining'])
  connection.streamEnds()
  t.same(connection.seen(), GOODBYE)
  shutdown.peerDrains()
  t.same([...connection.seen(), shutdown.state], ['closing', 'closing'], 'never back')

  const idle = new FakeConnection('client')
  idle.shutdown.peerDrains()
  t.same(idle.seen(), ['draining', ...GOODBYE])
})

void t.test('an error loses the streams and says why, also while it drains', async (t) => {
  for (const isDraining of [false, true]) {
    const connection = new FakeConnection('client', 2)
    const { shutdown } = connection
    if (isDraining) shutdown.drain()
    connection.seen()
    shutdown.fail(ErrorCode.protocolError, 'nonsense')
    shutdown.fail(ErrorCode.internalError, 'more of it')
    t.same(connection.seen(), ['lose: nonsense', `GOAWAY 0 ${ErrorCode.protocolError}`, ...GOODBYE])
  }
})

void t.test('the GOAWAY of an error never names a stream that an earlier one refused', async (t) => {
  const connection = new FakeConnection('server', 2)
  const { shutdown, ids } = connection
  shutdown.drain()
  shutdown.pingAnswered(connection.pingPayload)
  t.same(connection.seen().at(-1), 'GOAWAY 3 0')
  ids.highest = 9
  shutdown.fail(ErrorCode.protocolError, 'nonsense')
  t.ok(connection.seen().includes(`GOAWAY 3 ${ErrorCode.protocolError}`))
})

void t.test('an end at once leaves no timer, whatever came before', async (t) => {
  for (const before of [
    () => {},
    (shutdown: Shutdown) => shutdown.drain(),
    (shutdown: Shutdown) => shutdown.fail(1, ''),
  ]) {
    const connection = new FakeConnection('server')
    before(connection.shutdown)
    connection.seen()
    connection.shutdown.close('destroyed')
    connection.shutdown.drain()
    connection.shutdown.fail(ErrorCode.protocolError, 'nonsense')
    t.same(connection.seen(), ['closed: destroyed'])
    t.equal(connection.clock.pendingTimers, 0)
  }
})

// Else the pool, told of a place that has become free, would take it for the stream that is to be opened anew.
void t.test('when GOAWAY takes streams from a client, it counts as going away already', async (t) => {
  for (const io of bothIos()) {
    const clock = new FakeClock()
    const states = new Set<string>()
    const look = (): void => void states.add(connection.state)
    const connection = new HboneConnection({
      role: 'client',
      io,
      port: new QuietPort(),
      limits: DEFAULT_LIMITS,
      leftovers: new Leftovers({ clock }),
      memory: new HeldMemory().share(),
      clock,
      log: silentLog,
      hooks: { onRequest: () => {}, onChange: look, onTick: () => {} },
    })
    const bring = (type: number, payload: Buffer): void => {
      const slab = new HeapSlab(frame(type, 0, 0, payload))
      connection.onBytes(slab, 0, slab.bytes.length, false)
    }
    connection.start()
    bring(FrameType.settings, Buffer.alloc(0))
    let lost = 0
    const head = { onHeaders: () => {}, onLost: () => void lost++ }
    for (let i = 0; i < 2; i++) connection.open(head, connectRequestBlock('10.0.0.1:80', []))
    states.clear()
    bring(FrameType.goaway, Buffer.from([0, 0, 0, 1, 0, 0, 0, ErrorCode.noError]))
    t.same([lost, connection.streams.size], [1, 1], 'the stream that it looked at goes on')
    t.same([...states], ['draining'])
    connection.destroy()
    t.equal(clock.pendingTimers, 0)
  }
})
