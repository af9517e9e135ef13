import * as fc from 'fast-check'
import t from 'tap'
import { sortInParts } from './index.ts'

interface Item {
  readonly key: number
  readonly place: number
}

const byKey = (a: Item, b: Item): number => a.key - b.key

void t.test('it sorts as toSorted does, what is equal in its order', async () => {
  const keys = fc.array(fc.nat(1_000), { maxLength: 20_000, size: 'max' })
  await fc.assert(
    fc.asyncProperty(keys, async (all) => {
      const items = all.map((key, place): Item => ({ key, place }))
      const sorted = await sortInParts(items, byKey, async () => {})
      const wanted = items.toSorted(byKey)
      return sorted.length === wanted.length && sorted.every((item, index) => item === wanted[index])
    }),
    { numRuns: 30 },
  )
})

void t.test('between two pauses there is little to do, however many items', async (t) => {
  let compared = 0
  let most = 0
  const items = Array.from({ length: 100_000 }, (_, place): Item => ({ key: (place * 7_919) % 100_000, place }))
  const compare = (a: Item, b: Item): number => {
    compared++
    return byKey(a, b)
  }
  const sorted = await sortInParts(items, compare, async () => {
    most = Math.max(most, compared)
    compared = 0
  })
  t.ok(sorted.every(({ key }, index) => key === index))
  t.ok(most < 60_000, `${most} comparisons of some 1,700,000`)
})
