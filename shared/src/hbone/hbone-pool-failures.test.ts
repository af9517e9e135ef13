import { IoError } from '../io/io-error.ts'
import { HboneError } from './hbone-error.ts'
import { codeOf, forever, poolTest, refused, tls } from './pool-fixture.ts'

poolTest('a failed dial fails all who waited for it, once, and the next request dials anew', {}, async (t, world) => {
  world.dial = async () => Promise.reject(new IoError('refused', 'connect to 10.0.0.2:15008: ECONNREFUSED'))
  const codes = await Promise.all(Array.from({ length: 50 }, async () => codeOf(world.open())))
  t.same(new Set(codes), new Set(['dial']))
  t.equal(world.dials, 1)
  world.dial = async () => {}
  t.equal(await codeOf(world.open()), 'opened')
})

poolTest(
  'of several dials that are needed, a failed one fails only as many as it was for',
  { maxStreamsPerConnection: 10 },
  async (t, world) => {
    world.dial = async () => {
      if (world.dials === 1) throw new IoError('timeout', 'connect: ETIMEDOUT')
    }
    const codes = await Promise.all(Array.from({ length: 30 }, async () => codeOf(world.open())))
    t.equal(codes.filter((code) => code === 'dial-timeout').length, 10)
    t.equal(codes.filter((code) => code === 'opened').length, 20)
  },
)

poolTest(
  'nobody waits for a row of timeouts, however many dials there are',
  { maxStreamsPerConnection: 10, connectTimeoutMs: 1000 },
  async (t, world) => {
    world.dial = forever
    const early = Promise.all(Array.from({ length: 500 }, async () => codeOf(world.open())))
    await world.clock.advance(999)
    const late = codeOf(world.open())
    await world.clock.advance(1)
    t.same(new Set(await early), new Set(['dial-timeout']))
    await world.clock.advance(1000)
    t.equal(await late, 'dial-timeout', 'who came later waits for the next dial')
  },
)

poolTest('every way to fail has its code', {}, async (t, world) => {
  world.tls = async () => Promise.reject(new Error('the CA is away'))
  t.equal(await codeOf(world.open()), 'identity')
  t.equal(world.dials, 0, 'without a certificate nobody is dialled')
  world.tls = async () => tls
  for (const [thrown, code] of [
    [new IoError('unreachable', ''), 'dial'],
    [new IoError('other', ''), 'dial'],
    [new Error('out of descriptors'), 'dial'],
  ] as const) {
    world.dial = async () => Promise.reject(thrown)
    t.equal(await codeOf(world.open()), code)
  }
  world.dial = async () => {}
  for (const [thrown, code] of [
    [new IoError('tls', ''), 'tls'],
    [new IoError('tls-verify', ''), 'tls-verify'],
    [new IoError('handshake-timeout', ''), 'handshake-timeout'],
    [new IoError('reset', ''), 'h2'],
  ] as const) {
    world.handshake = async () => Promise.reject(thrown)
    t.equal(await codeOf(world.open()), code)
  }
  world.handshake = async () => {}
  world.prepare = (connection) => {
    connection.answer = async () =>
      Promise.reject(new HboneError('status', 'http status: 503 Service Unavailable', { status: 503 }))
  }
  t.match(await world.open().catch((error: unknown) => error), { code: 'status', status: 503 })
  t.equal(world.connections.at(-1)?.usable, true, 'a refused CONNECT leaves the connection as it is')
})

poolTest('making a connection has a bound, whichever phase hangs', { connectTimeoutMs: 1000 }, async (t, world) => {
  for (const [phase, code] of [
    ['tls', 'identity'],
    ['dial', 'dial-timeout'],
    ['handshake', 'handshake-timeout'],
  ] as const) {
    const wasReady = { tls: world.tls, dial: world.dial, handshake: world.handshake }
    let aborted = false
    world[phase] = async (signal?: AbortSignal) => {
      signal?.addEventListener('abort', () => (aborted = true))
      return forever()
    }
    const outcome = codeOf(world.open())
    await world.clock.advance(999)
    t.equal(world.pool.size, 1)
    await world.clock.advance(1)
    t.equal(await outcome, code)
    t.equal(world.pool.size, 0)
    t.equal(aborted, phase !== 'tls')
    Object.assign(world, wasReady)
  }
})

poolTest('what arrives after the pool gave up is closed', { connectTimeoutMs: 1000 }, async (t, world) => {
  const dial = Promise.withResolvers<void>()
  world.dial = async () => dial.promise
  const outcome = codeOf(world.open())
  await world.clock.advance(1000)
  t.equal(await outcome, 'dial-timeout')
  dial.resolve()
  await world.clock.advance(0)
  t.same(world.ends, [{ destroyed: true }])
  world.dial = async () => {}
  const handshake = Promise.withResolvers<void>()
  world.handshake = async () => handshake.promise
  const other = codeOf(world.open())
  await world.clock.advance(0)
  world.pool.destroy()
  t.equal(await other, 'aborted')
  handshake.resolve()
  await world.clock.advance(0)
  t.equal(world.connections[0]?.isDestroyed, true)
})

poolTest('a request that the peer did not look at is sent once more, on another connection', {}, async (t, world) => {
  world.prepare = (connection) => {
    if (world.connections.length === 0) connection.answer = async () => Promise.reject(refused())
  }
  const tunnel = await world.open()
  t.equal(tunnel.connection, world.connections[1])
  t.equal(world.connections[0]?.opened, 1)
  world.prepare = () => {}
  await world.open()
  t.equal(world.connections.length, 2, 'both connections stay in use, no further dial')
})

poolTest('a stream that GOAWAY left out is sent once more, on a new connection', {}, async (t, world) => {
  await world.open()
  const old = world.connections[0]
  if (old) {
    old.answer = async () => {
      old.change({ usable: false })
      throw refused()
    }
  }
  const tunnel = await world.open()
  t.equal(tunnel.connection, world.connections[1])
  t.equal(old?.activeStreams, 1, 'the stream that was there before lives on')
})

poolTest('a request that may have been processed is not repeated', {}, async (t, world) => {
  world.prepare = (connection) =>
    (connection.answer = async () => Promise.reject(new HboneError('h2', 'INTERNAL_ERROR')))
  t.equal(await codeOf(world.open()), 'h2')
  t.equal(world.dials, 1)
})

poolTest('a peer that refuses every stream gets each request twice, over two connections', {}, async (t, world) => {
  world.prepare = (connection) => (connection.answer = async () => Promise.reject(refused()))
  for (let i = 0; i < 100; i++) t.equal(await codeOf(world.open()), 'h2')
  t.equal(world.connections.length, 2)
  t.equal(
    world.connections.reduce((sum, connection) => sum + connection.opened, 0),
    200,
  )
})

// CVE-2021-32780: GOAWAY and SETTINGS_MAX_CONCURRENT_STREAMS 0 from an upstream.
poolTest('a peer that ends every connection at once is dialled with growing pauses', {}, async (t, world) => {
  world.prepare = (connection) => (connection.usable = false)
  const outcome = codeOf(world.open())
  await world.clock.advance(0)
  t.equal(world.dials, 1)
  await world.clock.advance(99)
  t.equal(world.dials, 1)
  await world.clock.advance(1)
  t.equal(world.dials, 2)
  await world.clock.advance(200)
  t.equal(world.dials, 3)
  t.equal(await outcome, 'h2')
  // A caller that comes again and again: 3 dials for the first, then one for each pause, which the wall clock does not end.
  for (let i = 0; i < 60; i++) {
    world.clock.stepWallClock(3_600_000)
    const again = codeOf(world.open())
    await world.clock.advance(1000)
    void again
  }
  t.ok(world.dials < 25, `${world.dials} dials in a minute`)
})

poolTest('a peer that allows no stream at all is treated alike', {}, async (t, world) => {
  world.prepare = (connection) => (connection.maxStreams = 0)
  const outcomes = Promise.all(Array.from({ length: 20 }, async () => codeOf(world.open())))
  await world.clock.advance(1000)
  t.same(new Set(await outcomes), new Set(['h2']))
  t.equal(world.dials, 3)
  t.equal(world.live(), 0)
})

poolTest('SETTINGS that forbid streams, after the request was sent, end in bounded retries', {}, async (t, world) => {
  world.prepare = (connection) => {
    connection.answer = async () => {
      await Promise.resolve()
      connection.change({ maxStreams: 0 })
      throw refused()
    }
  }
  const outcome = codeOf(world.open())
  await world.clock.advance(10_000)
  t.equal(await outcome, 'h2')
  t.equal(world.dials, 2)
})

poolTest('a peer that recovers is dialled at once again', {}, async (t, world) => {
  world.prepare = (connection) => (connection.usable = world.connections.length > 0)
  const outcome = codeOf(world.open())
  await world.clock.advance(100)
  t.equal(await outcome, 'opened')
  world.connections[1]?.destroy()
  await world.clock.advance(0)
  t.equal(await codeOf(world.open()), 'opened')
  t.equal(world.dials, 3)
})
