import t, { type Test } from 'tap'
import { FakeClock } from '../clock/index.ts'
import {
  BulkBudget,
  BURST_BYTES,
  SMALL_BURST_BYTES,
  HeapSlab,
  HEADROOM_BYTES,
  SlabPool,
  type SecurePort,
  type Slab,
} from '../io/index.ts'
import { turn } from '../io/io-fixture.ts'
import { Contention } from './contention.ts'
import { FRAME_HEADER_BYTES, FrameType } from './frames.ts'
import { HeldMemory } from './held-memory.ts'
import { FIRST_QUOTA_BYTES, SendScheduler, type SendSource } from './send-scheduler.ts'
import type { Stash } from './stash.ts'

/** The most that one read brings. */
const READ = BURST_BYTES - HEADROOM_BYTES

/** A TLS connection in memory: notes which stream's data it was given, and completes a write when it is told to. */
class FakePort implements SecurePort {
  readonly remote = { address: '10.0.0.2', port: 15_008 }
  readonly local = { address: '10.0.0.1', port: 40_000 }
  readonly fd = -1
  readonly consumesOnWrite = true
  /** Stream ids of DATA frames in the order written. */
  readonly order: number[] = []
  /** Bytes of each write. */
  readonly writes: number[] = []
  readonly sent = new Map<number, number>()
  isWriting = false

  start(): void {}

  write(slab: Slab, start: number, end: number): void {
    if (this.isWriting) throw new Error('two writes at a time')
    this.isWriting = true
    this.writes.push(end - start)
    for (let at = start; at < end;) {
      const length = slab.bytes.readUIntBE(at, 3)
      const id = slab.bytes.readUInt32BE(at + 5)
      if (slab.bytes[at + 3] === FrameType.data) {
        this.order.push(id)
        this.sent.set(id, (this.sent.get(id) ?? 0) + length)
      }
      at += FRAME_HEADER_BYTES + length
    }
  }

  end(): void {}
  pause(): void {}

  resume(): void {}

  destroy(): void {}
}

/** A stream whose application has `left` bytes and offers them, a read at a time, whenever it is read. */
class FakeSource implements SendSource {
  readonly id: number
  sendWindow = 1e9
  quota = FIRST_QUOTA_BYTES
  served: number
  stash: Stash | undefined
  waitsFor: 'nothing' | 'turn' | 'window' = 'nothing'
  canSend = true
  left: number
  /** It has one more chunk of 100 bytes for whoever has just paused it, as streams of the public API may. */
  hasLateChunks = false
  readonly isOver = false
  bytesSinceSmall = 0
  isPaused = false
  inSmallBursts = false
  /** Resumed though it was not paused: it had two turns for one wait. */
  extraTurns = 0
  readonly #scheduler: SendScheduler
  readonly #slab = new HeapSlab(Buffer.alloc(HEADROOM_BYTES + READ))

  constructor(scheduler: SendScheduler, id: number, left: number) {
    this.#scheduler = scheduler
    this.served = scheduler.level
    this.id = id
    this.left = left
  }

  pauseReading(): void {
    this.isPaused = true
  }

  continueSending(inSmallBursts: boolean): void {
    if (!this.isPaused) this.extraTurns++
    this.inSmallBursts = inSmallBursts
    this.isPaused = false
  }

  /** What the kernel has is read. */
  poll(): void {
    while (!this.isPaused && this.left > 0) {
      this.#offer(this.inSmallBursts ? SMALL_BURST_BYTES - HEADROOM_BYTES : READ)
      if (this.isPaused && this.hasLateChunks) this.#offer(100)
    }
  }

  #offer(most: number): void {
    const length = Math.min(this.left, most)
    this.left -= length
    this.#scheduler.offer(this, this.#slab, HEADROOM_BYTES, HEADROOM_BYTES + length)
  }
}

interface World {
  readonly clock: FakeClock
  readonly port: FakePort
  readonly scheduler: SendScheduler
  add(id: number, bytes: number): FakeSource
  /** Turns of the event loop, in each of which applications are read and a write may complete. */
  run(turns: number): Promise<void>
}

function overflow(): void {
  throw new Error('overflow')
}

function world({
  bulkBudget = new BulkBudget(),
  maxQueuedControlBytes = 1_048_576,
  onOverflow = overflow,
} = {}): World {
  const port = new FakePort()
  const sources: FakeSource[] = []
  const clock = new FakeClock()
  const scheduler = new SendScheduler({
    clock,
    port,
    slabs: new SlabPool(262_144, 4),
    readSlabs: new SlabPool(BURST_BYTES, 4),
    memory: new HeldMemory().share(),
    bulkBudget,
    contention: new Contention(),
    maxQueuedControlBytes,
    onOverflow,
    onDataFrame: () => {},
  })
  scheduler.window = 1e9
  return {
    clock,
    port,
    scheduler,
    add: (id, bytes) => {
      const source = new FakeSource(scheduler, id, bytes)
      sources.push(source)
      return source
    },
    run: async (turns) => {
      for (let i = 0; i < turns; i++) {
        for (const source of sources) source.poll()
        if (port.isWriting) {
          port.isWriting = false
          scheduler.onWritten()
        }
        await turn()
      }
    },
  }
}

const test = (name: string, body: (t: Test, world: World) => Promise<void>): void =>
  void t.test(name, async (t) => body(t, world()))

test('what waits for a turn is sent though the streams before it have nothing more to say', async (t, world) => {
  for (let i = 0; i < 12; i++) world.add(1 + 2 * i, READ)
  await world.run(100)
  t.same(
    [...world.port.sent.values()],
    Array.from({ length: 12 }, () => READ),
  )
})

test('bulk streams have the same share', async (t, world) => {
  for (let i = 0; i < 8; i++) world.add(1 + 2 * i, 1e8)
  await world.run(400)
  const sent = [...world.port.sent.values()]
  t.ok(Math.max(...sent) - Math.min(...sent) <= 2 * READ, sent.join(', '))
})

void t.test('connections that send bulk share what a turn of the loop has room for', async (t) => {
  const budget = new BulkBudget()
  const worlds = Array.from({ length: 20 }, () => world({ bulkBudget: budget }))
  for (const one of worlds) for (let i = 0; i < 4; i++) one.add(1 + 2 * i, 1e9)
  const sent = (): number[] => worlds.map(({ port }) => [...port.sent.values()].reduce((sum, bytes) => sum + bytes, 0))
  const most: number[] = []
  for (let turns = 0; turns < 200; turns++) {
    const before = sent().reduce((sum, bytes) => sum + bytes, 0)
    await Promise.all(worlds.map((one) => one.run(1)))
    most.push(sent().reduce((sum, bytes) => sum + bytes, 0) - before)
  }
  // The first read of a stream needs no turn; a turn that was given may be used in the next turn of the loop.
  t.ok(
    Math.max(...most.slice(5)) <= 2 * 524_288 + 2 * BURST_BYTES,
    `${Math.max(...most.slice(5))} bytes in a turn of the loop`,
  )
  t.ok(Math.min(...sent()) > 0.7 * Math.max(...sent()), sent().join(', '))
})

test('beside small messages bulk has smaller turns, and larger ones again when they have stopped', async (t, world) => {
  world.add(1, 1e9)
  await world.run(20)
  t.equal(Math.max(...world.port.writes), BURST_BYTES)
  world.add(3, 100)
  await world.run(10)
  world.port.writes.length = 0
  await world.run(100)
  t.equal(Math.max(...world.port.writes), SMALL_BURST_BYTES)
  await world.run(2000)
  world.port.writes.length = 0
  await world.run(10)
  t.equal(Math.max(...world.port.writes), BURST_BYTES)
})

test('a chunk that comes after the pause waits with its stream, which still has one turn at a time', async (t, world) => {
  const late = world.add(1, 1e8)
  late.hasLateChunks = true
  const others = [3, 5, 7].map((id) => world.add(id, 1e8))
  await world.run(400)
  t.equal(late.extraTurns, 0)
  const sent = [late, ...others].map(({ id }) => world.port.sent.get(id) ?? 0)
  t.ok(Math.max(...sent) - Math.min(...sent) <= 2 * READ, sent.join(', '))
})

test('nothing is lost of a chunk that comes after the pause, with credit or without', async (t, world) => {
  const late = world.add(1, 1e6)
  late.hasLateChunks = true
  late.sendWindow = 100_000
  await world.run(100)
  t.equal(world.port.sent.get(1), 100_000)
  late.sendWindow += 1e6
  world.scheduler.streamWindowOpened(late)
  await world.run(100)
  t.equal(world.port.sent.get(1), 1e6)
})

test('a small request goes out beside bulk within two writes', async (t, world) => {
  for (let i = 0; i < 4; i++) world.add(1 + 2 * i, 1e8)
  await world.run(50)
  world.add(99, 100)
  const before = world.port.order.length
  await world.run(6)
  const behind = world.port.order.slice(before).indexOf(99)
  t.ok(behind >= 0 && behind <= 8, `behind ${behind} frames`)
})

test('streams that come back after a pause do not shut out the ones that went on', async (t, world) => {
  const quiet = Array.from({ length: 20 }, (_, i) => world.add(101 + 2 * i, 100))
  const steady = world.add(1, 1e9)
  await world.run(300)
  // One after the other begins to send without end; each may catch up, but none more than the one before it.
  for (const source of quiet) {
    source.left = 1e8
    await world.run(10)
  }
  const before = world.port.sent.get(steady.id) ?? 0
  const [first = steady] = quiet
  const firstBefore = world.port.sent.get(first.id) ?? 0
  await world.run(1500)
  const share = (world.port.sent.get(steady.id) ?? 0) - before
  const firstShare = (world.port.sent.get(first.id) ?? 0) - firstBefore
  t.ok(share > 0.8 * firstShare - 1_100_000, `${share} of ${firstShare}`)
})

test('a stream without credit waits for it and holds up nobody', async (t, world) => {
  const stopped = world.add(1, 1e6)
  stopped.sendWindow = 1000
  world.add(3, 1e6)
  await world.run(100)
  t.same(
    [...world.port.sent],
    [
      [1, 1000],
      [3, 1e6],
    ],
  )
  stopped.sendWindow += 1e6
  world.scheduler.streamWindowOpened(stopped)
  await world.run(100)
  t.equal(world.port.sent.get(1), 1e6)
})

test('nothing is sent beyond the credit of the connection', async (t, world) => {
  world.scheduler.window = 100_000
  world.add(1, 1e6)
  world.add(3, 1e6)
  await world.run(100)
  const total = (): number => [...world.port.sent.values()].reduce((sum, bytes) => sum + bytes, 0)
  t.equal(total(), 100_000)
  world.scheduler.window += 5e6
  world.scheduler.connectionWindowOpened()
  await world.run(200)
  t.equal(total(), 2e6)
})

test('short frames wait for a turn that brings none, and are one write then', async (t, world) => {
  for (let i = 0; i < 3; i++) {
    world.add(1 + 2 * i, 100)
    await world.run(1)
  }
  t.equal(world.port.writes.length, 0, 'each turn brought one')
  await world.run(1)
  t.same(world.port.order, [1, 3, 5])
  t.equal(world.port.writes.length, 1)
})

test('short frames wait for no longer than a millisecond', async (t, world) => {
  let id = 1
  const frameEachTurn = async (turns: number): Promise<void> => {
    for (let i = 0; i < turns; i++, id += 2) {
      world.add(id, 100)
      await world.run(1)
    }
  }
  await frameEachTurn(10)
  world.clock.stepWallClock(1)
  await frameEachTurn(10)
  t.equal(world.port.writes.length, 0, 'which the wall clock does not end')
  await world.clock.advance(1)
  await frameEachTurn(1)
  t.equal(world.port.writes.length, 1)
  await frameEachTurn(20)
  t.equal(world.port.writes.length, 1, 'the next ones have a millisecond of their own')
})

test('what is no longer short is written at once', async (t, world) => {
  for (let i = 0; i < 4; i++) world.add(1 + 2 * i, 5000)
  await world.run(1)
  t.same(world.port.order, [1, 3, 5, 7])
  t.equal(world.port.writes.length, 1)
})

test('a stream that is over waits no more, whatever credit the peer withholds', async (t, world) => {
  const { scheduler } = world
  scheduler.window = 0
  const [over, goesOn] = [world.add(1, READ), world.add(3, READ)]
  await world.run(2)
  t.equal(scheduler.waiting, 2)
  over.canSend = false
  scheduler.forget(over)
  scheduler.forget(over)
  t.equal(scheduler.waiting, 1)
  scheduler.window = 1e9
  scheduler.connectionWindowOpened()
  await world.run(4)
  t.equal(scheduler.waiting, 0)
  t.strictSame([goesOn.left, goesOn.stash, over.extraTurns], [0, undefined, 0])
})

test('many tiny frames are as much data as they take in memory, and no control frames', async (t, world) => {
  const { scheduler, port } = world
  const source = world.add(1, 0)
  await world.run(2)
  source.sendWindow = scheduler.window = 1e9
  source.quota = 1e9
  // Begins a write that is not completed.
  scheduler.frame(FrameType.ping, 0, 0, Buffer.alloc(8))
  for (let turns = 0; turns < 4 && !port.isWriting; turns++) await turn()
  t.ok(port.isWriting)
  const byte = new HeapSlab(Buffer.alloc(1))
  let offered = 0
  for (; !source.isPaused && offered < 200_000; offered++) scheduler.offer(source, byte, 0, 1)
  t.ok(scheduler.bufferedBytes <= 3 * BURST_BYTES, `${offered} frames in ${scheduler.bufferedBytes} bytes`)
  t.ok(source.isPaused)
  scheduler.frame(FrameType.ping, 0, 0, Buffer.alloc(8)) // throws where the data counts
})

void t.test('a peer that does not read control frames is told of once, and only then', async (t) => {
  let overflows = 0
  const ping = FRAME_HEADER_BYTES + 8
  const { scheduler } = world({ maxQueuedControlBytes: 5 * ping, onOverflow: () => void overflows++ })
  for (let i = 0; i < 5; i++) scheduler.frame(FrameType.ping, 0, 0, new Uint8Array(8))
  t.equal(overflows, 0, 'as many as may wait')
  for (let i = 0; i < 15; i++) scheduler.frame(FrameType.ping, 0, 0, new Uint8Array(8))
  t.equal(overflows, 1)
})
