import t from 'tap'
import { HeldMemory, type MemoryShare } from './held-memory.ts'

class FakeConnection {
  readonly #end = Promise.withResolvers<void>()
  readonly closed = this.#end.promise
  readonly streams: { list: () => FakeStream[] }

  constructor(share: MemoryShare, sizes: readonly number[]) {
    const streams = sizes.map((size) => new FakeStream(share, size))
    this.streams = { list: () => streams }
    share.add(this)
  }

  /** Bytes of those that were not reset; undefined for one that was. */
  get left(): (number | undefined)[] {
    return this.streams.list().map(({ why, bufferedBytes }) => (why === undefined ? bufferedBytes : undefined))
  }

  close(): void {
    for (const stream of this.streams.list()) stream.relieve('')
    this.#end.resolve()
  }
}

class FakeStream {
  readonly #share: MemoryShare
  bufferedBytes: number
  why: string | undefined

  constructor(share: MemoryShare, size: number) {
    this.#share = share
    this.bufferedBytes = size
    share.changed(size)
  }

  hold(bytes: number): void {
    this.bufferedBytes += bytes
    this.#share.changed(bytes)
  }

  relieve(why: string): void {
    this.why ??= why
    this.hold(-this.bufferedBytes)
  }
}

void t.test('above the bound, the pod that holds most loses its largest stream', async (t) => {
  const memory = new HeldMemory(100)
  const [greedy, modest] = [memory.share(), memory.share()]
  const many = [new FakeConnection(greedy, [10, 20]), new FakeConnection(greedy, [5, 15])]
  const one = new FakeConnection(modest, [40])
  t.equal(memory.shares, 2)
  await turn()
  t.same(
    [...many, one].map(({ left }) => left),
    [[10, 20], [5, 15], [40]],
    'below it everybody goes on',
  )

  one.streams.list()[0]?.hold(5)
  many[1]?.streams.list()[0]?.hold(6)
  t.equal(memory.bytes, 101)
  t.same(many[0]?.left, [10, 20], 'not within the call of the stream')
  await turn()
  t.same(
    [...many, one].map(({ left }) => left),
    [[10, undefined], [11, 15], [45]],
  )
  t.match(many[0]?.streams.list()[1]?.why, /101 bytes are held/)
  t.equal(memory.bytes, 81)
})

void t.test('several go where one is not enough, and nothing is left of what has closed', async (t) => {
  const memory = new HeldMemory(10)
  const share = memory.share()
  const connection = new FakeConnection(share, [8, 7, 6, 3])
  await turn()
  t.same(connection.left, [undefined, undefined, 6, 3])
  t.equal(memory.bytes, 9)
  connection.close()
  await turn()
  t.same([memory.bytes, share.bytes, memory.shares], [0, 0, 0])
  new FakeConnection(share, []).close()
  t.equal(memory.shares, 1, 'a pod may have connections again')
  await turn()
  t.equal(memory.shares, 0)
})

void t.test('what nobody can be reset for is not looked for without end', async (t) => {
  const memory = new HeldMemory(10)
  memory.share().changed(11)
  const share = memory.share()
  share.changed(12)
  const connection = new FakeConnection(share, [0])
  await turn()
  t.same(connection.left, [0])
})

async function turn(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
}
