import t from 'tap'
import { HeapSlab, SlabPool, type Slab } from '../io/index.ts'
import { turn } from '../io/io-fixture.ts'
import { Delivery, type DeliveryTarget } from './delivery.ts'

/** An application that notes every write. */
class Target implements DeliveryTarget {
  pendingSlab: Slab | undefined
  pendingStart = 0
  pendingEnd = 0
  isPendingCopied = false
  isListed = false
  readonly writes: { slab: Slab; text: string }[] = []

  get text(): string {
    return this.writes.map(({ text }) => text).join('')
  }

  deliver(slab: Slab, start: number, end: number): void {
    this.writes.push({ slab, text: slab.bytes.toString('latin1', start, end) })
  }
}

const HEADER_BYTES = 9

/** Adds frames of these lengths to the targets in turn, out of one slab, as a frame reader does. */
function addFrames(delivery: Delivery, targets: Target[], lengths: number[], slab: Slab): string[] {
  const texts = targets.map(() => '')
  let at = 0
  lengths.forEach((length, i) => {
    at += HEADER_BYTES
    const which = i % targets.length
    const target = targets[which]
    if (target === undefined) return
    delivery.add(target, slab, at, at + length)
    delivery.frameEnded(target)
    texts[which] += slab.bytes.toString('latin1', at, at + length)
    at += length
  })
  return texts
}

function recordOf(bytes: number): Slab {
  return new HeapSlab(Buffer.from(Array.from({ length: bytes }, (_, i) => 97 + (i % 26))))
}

for (const streams of [1, 7]) {
  void t.test(`frames of one octet become one write a turn, ${streams} streams`, async (t) => {
    const delivery = new Delivery()
    const targets = Array.from({ length: streams }, () => new Target())
    const texts = targets.map(() => '')
    for (let record = 0; record < 3; record++) {
      const said = addFrames(delivery, targets, Array<number>(1600).fill(1), recordOf(16_000))
      said.forEach((text, i) => (texts[i] += text))
      delivery.batchEnded(false)
    }
    await turn()
    t.same(
      targets.map(({ text }) => text),
      texts,
      'in order and complete',
    )
    for (const { writes } of targets) t.equal(writes.length, 1)
  })
}

void t.test('what is copied together is bounded', async (t) => {
  const delivery = new Delivery()
  const target = new Target()
  const texts: string[] = []
  for (let i = 0; i < 5; i++)
    texts.push(...addFrames(delivery, [target], Array<number>(40).fill(300), recordOf(16_000)))
  delivery.batchEnded(true)
  await turn()
  t.equal(target.text, texts.join(''))
  t.equal(target.writes.length, 4, '60,000 bytes, at most 16 KiB at a time')
})

void t.test('small pieces and large ones keep their order, and large ones their memory', async (t) => {
  const delivery = new Delivery()
  const target = new Target()
  const slab = recordOf(20_000)
  const lengths = [1, 1, 5000, 1, 1, 1024, 1023, 3, 2000]
  const [text] = addFrames(delivery, [target], lengths, slab)
  delivery.batchEnded(false)
  await turn()
  t.equal(target.text, text)
  t.same(
    target.writes.map((write) => write.text.length),
    [2, 5000, 2, 1024, 1026, 2000],
  )
  t.same(
    target.writes.map((write) => write.slab === slab),
    [false, true, false, true, false, true],
  )
})

void t.test('one piece of a stream goes at once, and no memory stays on loan', (t) => {
  const pool = new SlabPool(1000, 1)
  const slab = pool.take()
  slab.bytes.fill('x')
  const delivery = new Delivery()
  const [one, other] = [new Target(), new Target()]
  addFrames(delivery, [one, other], [10, 10], slab)
  delivery.batchEnded(false)
  t.same([one.text, other.text], ['x'.repeat(10), 'x'.repeat(10)])
  addFrames(delivery, [one], [10, 10], slab)
  delivery.flush(one)
  t.equal(one.text.length, 30, 'an end does not wait')
  slab.release()
  t.equal(pool.lent, 0)
  t.end()
})
