import { HboneError } from './hbone-error.ts'
import { codeOf, forever, poolTest } from './pool-fixture.ts'

poolTest(
  'streams of a key share a connection, and the end of the pool closes it',
  { maxStreamsPerConnection: 4 },
  async (t, { pool, open, openMany, connections }) => {
    await openMany(2)
    await open()
    await open()
    t.equal(connections.length, 1)
    t.equal(connections[0]?.activeStreams, 4)
    t.equal(pool.size, 1)
    pool.destroy()
    t.ok(connections[0]?.isDestroyed)
    t.equal(await codeOf(open()), 'aborted')
  },
)

poolTest('every key has connections of its own', {}, async (t, { openMany, connections, pool }) => {
  await Promise.all(['a', 'b', 'c'].map(async (key) => openMany(2, key)))
  t.equal(connections.length, 3)
  t.equal(pool.size, 3)
})

poolTest('keys do not wait for one another', {}, async (t, world) => {
  world.dial = forever
  const slow = codeOf(world.open('slow'))
  await world.clock.advance(0)
  world.dial = async () => {}
  t.equal(await codeOf(world.open('fast')), 'opened')
  world.pool.destroy()
  t.equal(await slow, 'aborted')
})

poolTest(
  'no connection gets more streams than the cap',
  { maxStreamsPerConnection: 2 },
  async (t, { openMany, connections, pool }) => {
    await openMany(4)
    t.equal(connections.length, 2)
    await openMany(5)
    t.equal(connections.length, 5)
    t.same(
      connections.map((connection) => connection.activeStreams).sort((a, b) => a - b),
      [1, 2, 2, 2, 2],
    )
    t.equal(pool.size, 5)
  },
)

poolTest(
  'a cap of one means one connection per stream',
  { maxStreamsPerConnection: 1 },
  async (t, { openMany, connections }) => {
    await openMany(2)
    t.equal(connections.length, 2)
  },
)

poolTest(
  'a connection that was full is used again when it has room',
  { maxStreamsPerConnection: 2 },
  async (t, { open, openMany, connections }) => {
    const [first] = await openMany(2)
    first?.reset()
    await open()
    t.equal(connections.length, 1)
  },
)

poolTest('a hundred requests at once for a cold key make one dial', {}, async (t, world) => {
  await world.openMany(100)
  t.equal(world.dials, 1)
  t.equal(world.connections[0]?.activeStreams, 100)
})

poolTest('a hundred keys make a hundred connections', {}, async (t, { open, connections }) => {
  await Promise.all(Array.from({ length: 100 }, async (_, i) => open(`key-${i}`)))
  t.equal(connections.length, 100)
})

poolTest(
  'three hundred requests over three keys make three connections',
  { maxStreamsPerConnection: 100 },
  async (t, { openMany, connections }) => {
    await Promise.all(['a', 'b', 'c'].map(async (key) => openMany(100, key)))
    t.same(
      connections.map((connection) => connection.activeStreams),
      [100, 100, 100],
    )
  },
)

poolTest(
  'more requests than one connection holds make as many dials as are needed, at once',
  { maxStreamsPerConnection: 10 },
  async (t, world) => {
    const tunnels = world.openMany(35)
    await world.clock.advance(0)
    t.equal(world.dials, 4)
    await tunnels
    t.equal(world.connections.length, 4)
    const many = world.openMany(500, 'b')
    await many
    t.equal(world.connections.length, 54, 'eight dials at a time, until all have room')
  },
)

poolTest(
  'before the peer has said its limit one request is sent, and the others wait for its word',
  {},
  async (t, world) => {
    world.prepare = (connection) => (connection.knowsLimits = false)
    const tunnels = world.openMany(5)
    await world.clock.advance(0)
    const [connection] = world.connections
    t.equal(connection?.activeStreams, 1)
    t.equal(world.dials, 1, 'nor is another one dialled for them')
    connection?.change({ knowsLimits: true, maxStreams: 5 })
    await tunnels
    t.equal(connection?.activeStreams, 5)
    t.equal(world.dials, 1)
  },
)

poolTest('a lower limit of the peer counts, also when it comes later', {}, async (t, world) => {
  world.prepare = (connection) => (connection.maxStreams = 2)
  const tunnels = await world.openMany(3)
  t.same(
    world.connections.map((connection) => connection.activeStreams),
    [2, 1],
  )
  world.connections[1]?.change({ maxStreams: 1 })
  world.prepare = () => {}
  await world.open()
  t.equal(world.connections.length, 3)
  tunnels[0]?.reset()
  await world.open()
  t.equal(world.connections[0]?.activeStreams, 2)
})

poolTest(
  'after GOAWAY new streams go elsewhere and the old ones live on',
  {},
  async (t, { open, connections, pool, clock }) => {
    const old = await open()
    connections[0]?.change({ usable: false })
    await open()
    t.equal(connections.length, 2)
    t.equal(connections[0]?.activeStreams, 1)
    t.equal(connections[0]?.isDestroyed, false)
    t.equal(pool.size, 2)
    old.reset()
    await clock.advance(0)
    t.equal(pool.size, 1)
  },
)

poolTest(
  'an idle connection is closed after the timeout, counted from the end of its last stream by no wall clock',
  { idleTimeoutMs: 100 },
  async (t, { open, connections, pool, clock }) => {
    const first = await open()
    await clock.advance(1000)
    t.equal(pool.size, 1, 'a stream keeps it')
    first.reset()
    await clock.advance(60)
    ;(await open()).reset()
    clock.stepWallClock(3_600_000)
    await clock.advance(60)
    t.equal(pool.size, 1, 'used again in between')
    clock.stepWallClock(-7_200_000)
    await clock.advance(40)
    t.equal(pool.size, 0)
    t.ok(connections[0]?.isClosed)
    t.equal(connections[0]?.opened, 2)
  },
)

poolTest(
  'a connection that nobody came to use is closed after the timeout',
  { idleTimeoutMs: 100 },
  async (t, world) => {
    const abort = new AbortController()
    const outcome = codeOf(world.open('a', abort.signal))
    await Promise.resolve()
    abort.abort()
    t.equal(await outcome, 'aborted')
    await world.clock.advance(0)
    t.equal(world.pool.size, 1, 'the dial went on without the one who asked for it')
    t.equal(await codeOf(world.open()), 'opened')
    t.equal(world.dials, 1)
  },
)

poolTest('a request that cannot be sent leaves an idle connection idle', { idleTimeoutMs: 100 }, async (t, world) => {
  ;(await world.open()).reset()
  const connection = world.connections[0]
  if (connection) connection.open = async () => Promise.reject(new HboneError('h2', 'a header cannot be sent'))
  t.equal(await codeOf(world.open()), 'h2')
  await world.clock.advance(100)
  t.equal(world.pool.size, 0)
})

poolTest('a caller that gives up leaves at once, in any phase', {}, async (t, world) => {
  const gone = new AbortController()
  gone.abort()
  t.equal(await codeOf(world.open('a', gone.signal)), 'aborted')
  t.equal(world.dials, 0)
  const waits = new AbortController()
  world.dial = forever
  const waiting = codeOf(world.open('a', waits.signal))
  await world.clock.advance(0)
  t.equal(world.pool.waiting, 1)
  waits.abort()
  t.equal(await waiting, 'aborted')
  t.equal(world.pool.waiting, 0)
  const asks = new AbortController()
  world.dial = async () => {}
  world.prepare = (connection) => (connection.answer = forever)
  const asking = codeOf(world.open('b', asks.signal))
  await world.clock.advance(0)
  asks.abort()
  t.equal(await asking, 'aborted')
  t.equal(world.connections[0]?.activeStreams, 0)
})

poolTest(
  'requests that wait are bounded in number and time',
  { maxWaiters: 3, waitTimeoutMs: 5000, connectTimeoutMs: 60_000 },
  async (t, world) => {
    world.dial = forever
    const waiting = [codeOf(world.open()), codeOf(world.open('b')), codeOf(world.open())]
    t.equal(await codeOf(world.open('c')), 'overloaded')
    await world.clock.advance(5000)
    t.same(await Promise.all(waiting), ['overloaded', 'overloaded', 'overloaded'])
    t.equal(world.pool.waiting, 0)
  },
)

poolTest(
  'connections are bounded in number: an idle one makes room, a busy one does not',
  { maxConnections: 2, maxStreamsPerConnection: 1, waitTimeoutMs: 1000 },
  async (t, world) => {
    ;(await world.open('a')).reset()
    await world.clock.advance(1)
    const busy = await world.open('b')
    t.equal(await codeOf(world.open('c')), 'opened')
    t.ok(world.connections[0]?.isClosed, 'the idle one went')
    t.equal(await codeOf(world.open('d')), 'overloaded')
    const late = codeOf(world.open('b'))
    await world.clock.advance(500)
    busy.reset()
    t.equal(await late, 'opened', 'a key that has a connection waits for room on it')
    const tooLate = codeOf(world.open('b'))
    await world.clock.advance(1000)
    t.equal(await tooLate, 'overloaded')
  },
)

poolTest('a drain closes idle connections at once, others after their last stream', {}, async (t, world) => {
  ;(await world.open('idle')).reset()
  const tunnel = await world.open('busy')
  world.pool.drain()
  await world.clock.advance(0)
  t.equal(world.pool.size, 1)
  const late = await world.open('busy')
  tunnel.reset()
  await world.clock.advance(0)
  t.equal(world.pool.size, 1)
  late.reset()
  await world.clock.advance(0)
  t.equal(world.pool.size, 0)
  const last = await world.open('new')
  t.equal(world.pool.size, 1)
  last.reset()
  await world.clock.advance(0)
  t.equal(world.pool.size, 0)
})

poolTest(
  'destroy ends tunnels, dials and waiting requests at once',
  { maxStreamsPerConnection: 1 },
  async (t, world) => {
    await world.open('a')
    let aborted = false
    world.dial = async (signal) => {
      signal.addEventListener('abort', () => (aborted = true))
      return forever()
    }
    const waiting = codeOf(world.open('a'))
    await world.clock.advance(0)
    world.pool.destroy()
    world.pool.destroy()
    t.equal(await waiting, 'aborted')
    t.ok(aborted)
    t.ok(world.connections[0]?.isDestroyed)
  },
)

poolTest(
  'a destination that is silent, or takes one stream only, leaves half of the room to others',
  { maxConnections: 4, maxStreamsPerConnection: 1, maxWaiters: 6, waitTimeoutMs: 5000, connectTimeoutMs: 60_000 },
  async (t, world) => {
    await world.openMany(2, 'busy')
    const waiting = [codeOf(world.open('busy')), codeOf(world.open('busy'))]
    await world.openMany(2, 'other')
    t.equal(world.live(), 4)
    world.dial = forever
    waiting.push(codeOf(world.open('busy')))
    t.equal(await codeOf(world.open('busy')), 'overloaded', 'three wait for it already')
    waiting.push(codeOf(world.open('other')))
    await world.clock.advance(5000)
    t.same(new Set(await Promise.all(waiting)), new Set(['overloaded']))
  },
)
