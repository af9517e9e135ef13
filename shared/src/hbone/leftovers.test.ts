import { once } from 'node:events'
import t, { type Test } from 'tap'
import { FakeClock } from '../clock/index.ts'
import { bothIos, eventually } from '../io/io-fixture.ts'
import { Leftovers, type Leftover } from './leftovers.ts'
import { connectionPair, endOf, openTunnel, pingsAnswered, type ConnectionPair, type Tunnel } from './tunnel-fixture.ts'

/** A stream that notes whether it was given up. */
class Left implements Leftover {
  heldBytes: number
  isGivenUp = false
  readonly #leftovers: Leftovers

  constructor(leftovers: Leftovers, heldBytes: number) {
    this.#leftovers = leftovers
    this.heldBytes = heldBytes
    leftovers.add(this)
  }

  get writeMark(): number {
    return this.heldBytes
  }

  take(bytes: number): void {
    this.heldBytes -= bytes
  }

  giveUp(): void {
    this.isGivenUp = true
    this.#leftovers.remove(this)
  }
}

void t.test('an application that takes nothing is given up, one that goes on taking is not', async (t) => {
  const clock = new FakeClock()
  const leftovers = new Leftovers({ clock })
  const [deaf, slow] = [new Left(leftovers, 100), new Left(leftovers, 100)]
  for (let i = 0; i < 4; i++) {
    t.equal(deaf.isGivenUp, i === 3)
    slow.take(1)
    await clock.advance(10_000)
  }
  t.notOk(slow.isGivenUp)
  t.same([leftovers.count, leftovers.bytes], [1, 96])
  leftovers.remove(slow)
  t.same([leftovers.count, leftovers.bytes, clock.pendingTimers], [0, 0, 0])
})

void t.test('it has 20 to 30 s from the last byte that it took', async (t) => {
  const clock = new FakeClock()
  const leftovers = new Leftovers({ clock })
  const [early, late] = [new Left(leftovers, 100), new Left(leftovers, 100)]
  const given = (): readonly boolean[] => [early.isGivenUp, late.isGivenUp]
  await clock.advance(9_999)
  early.take(1)
  await clock.advance(1)
  late.take(1)
  await clock.advance(19_999)
  t.same(given(), [false, false])
  await clock.advance(1)
  t.same(given(), [true, false])
  await clock.advance(9_999)
  t.same(given(), [true, false])
  await clock.advance(1)
  t.same(given(), [true, true])
  t.equal(clock.pendingTimers, 0)
})

void t.test('one that takes a byte now and then does not stay for ever', async (t) => {
  const clock = new FakeClock()
  const leftovers = new Leftovers({ clock })
  const trickle = new Left(leftovers, 1000)
  for (let i = 0; i < 29; i++) {
    trickle.take(1)
    await clock.advance(10_000)
  }
  t.notOk(trickle.isGivenUp)
  trickle.take(1)
  await clock.advance(10_000)
  t.ok(trickle.isGivenUp)
  t.equal(clock.pendingTimers, 0)
})

void t.test('beyond the bytes and the number that are kept, the oldest goes at once', (t) => {
  const clock = new FakeClock()
  const leftovers = new Leftovers({ clock, maxBytes: 100, maxCount: 3 })
  const [first, second] = [new Left(leftovers, 60), new Left(leftovers, 40)]
  t.notOk(first.isGivenUp, 'exactly what may be kept')
  leftovers.add(second)
  t.equal(leftovers.bytes, 100, 'counted once')
  const third = new Left(leftovers, 50)
  t.same([first.isGivenUp, second.isGivenUp, third.isGivenUp], [true, false, false])
  second.take(40)
  const more = [new Left(leftovers, 0), new Left(leftovers, 0)]
  t.same([second.isGivenUp, third.isGivenUp, ...more.map((left) => left.isGivenUp)], [true, false, false, false])
  const huge = new Left(leftovers, 101)
  t.ok(huge.isGivenUp, 'one that alone is too much')
  t.same([leftovers.count, leftovers.bytes, clock.pendingTimers], [0, 0, 0])
  t.end()
})

/** More than the kernel keeps for a connection whose far end does not read. */
const BYTES = 24 * 1_048_576
const wide = { streamWindowBytes: BYTES, connectionWindowBytes: BYTES, maxHeldBytes: BYTES }

for (const io of bothIos()) {
  const test = (name: string, body: (t: Test) => Promise<void>): void => void t.test(`${io.name}: ${name}`, body)

  /** A tunnel whose both ends have ended properly, while the far application has not read anything. */
  const unread = async (pair: ConnectionPair): Promise<Tunnel> => {
    const tunnel = await openTunnel(io, pair)
    tunnel.far.pause()
    tunnel.far.end()
    tunnel.near.resume()
    tunnel.near.end(Buffer.alloc(BYTES))
    await tunnel.nearSplice.finished
    await eventually(() => tunnel.farSplice.bytesAtoB === BYTES, 'all has arrived')
    return tunnel
  }

  test('a slow application gets everything while its peer, which has ended, is connected', async (t) => {
    const pair = await connectionPair(io, wide)
    const { far, farSplice } = await unread(pair)
    t.equal(pair.client.activeStreams, 0)
    for (let i = 0; i < 12; i++) await pingsAnswered(pair)
    let heard = 0
    far.on('data', (bytes: Buffer) => (heard += bytes.length)).resume()
    await once(far, 'end')
    await farSplice.finished
    t.equal(heard, BYTES)
    await endOf(t, io, pair)
  })

  test('an application that does not read is reset when its peer has left, and nothing stays', async (t) => {
    const pair = await connectionPair(io, wide)
    const { far, farSplice } = await unread(pair)
    const reset = once(far, 'error')
    let isClosed = false
    void pair.server.closed.then(() => (isClosed = true))
    pair.client.drain()
    await pair.client.closed
    await eventually(() => pair.clock.pendingTimers === 1, 'the server has noticed')
    await pair.clock.advance(20_000)
    t.notOk(isClosed, 'it is given its time')
    await pair.clock.advance(10_000)
    await t.rejects(farSplice.finished, { code: 'aborted' })
    far.resume()
    t.match(await reset, [{ code: 'ECONNRESET' }], 'and not FIN, which would say that it was everything')
    await endOf(t, io, pair)
  })

  test('an application that reads on gets everything though its peer has left', async (t) => {
    const pair = await connectionPair(io, wide)
    const { far, farSplice } = await unread(pair)
    pair.client.drain()
    await pair.client.closed
    await eventually(() => pair.clock.pendingTimers === 1, 'the server has noticed')
    let heard = 0
    let sinceAdvance = 0
    for await (const bytes of far.iterator({ destroyOnReturn: false })) {
      heard += (bytes as Buffer).length
      sinceAdvance += (bytes as Buffer).length
      if (sinceAdvance < BYTES / 4) continue
      sinceAdvance = 0
      await pair.clock.advance(10_000)
    }
    await farSplice.finished
    t.equal(heard, BYTES)
    await endOf(t, io, pair)
  })
}
