import t from 'tap'
import { NOWHERE, PlacedSet, type Placed } from './placed-set.ts'

class Thing implements Placed {
  place = NOWHERE
}

void t.test('holds what was added and not deleted, whatever the order', async (t) => {
  const set = new PlacedSet<Thing>()
  const expected = new Set<Thing>()
  const things = Array.from({ length: 40 }, () => new Thing())
  let seed = 1
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
  for (let i = 0; i < 4_000; i++) {
    const thing = things[random(things.length)]
    if (thing === undefined) continue
    if (random(2) === 0) {
      set.add(thing)
      expected.add(thing)
    } else if (set.delete(thing) !== expected.delete(thing)) t.fail(`deletes otherwise after ${i} steps`)
    if (set.size !== expected.size || set.has(thing) !== expected.has(thing)) t.fail(`differs after ${i} steps`)
  }
  t.same(new Set(set.list()), expected)
})

void t.test('may be changed while its list is gone through', async (t) => {
  const set = new PlacedSet<Thing>()
  const things = Array.from({ length: 5 }, () => new Thing())
  for (const thing of things) set.add(thing)
  const seen = set.list().filter((thing) => set.delete(thing))
  t.same(seen, things)
  t.equal(set.size, 0)
})
