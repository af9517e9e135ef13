import t from 'tap'
import { StreamIds } from './stream-ids.ts'

void t.test('a client counts in odd numbers', async (t) => {
  const ids = new StreamIds()
  t.same([ids.next(), ids.next(), ids.next(), ids.highest], [1, 3, 5, 5])
})

void t.test('ids above the highest, and even ones, are idle', async (t) => {
  const ids = new StreamIds()
  ids.open(5)
  t.same(
    [1, 3, 5, 4, 6, 7].map((id) => ids.isIdle(id)),
    [false, false, false, true, true, true],
  )
})

void t.test('ids that were passed over are told from those that were used', async (t) => {
  const ids = new StreamIds()
  ids.open(3)
  t.ok(ids.wasPassedOver(1))
  t.notOk(ids.wasPassedOver(3))
  for (const id of [5, 7, 13, 15]) ids.open(id)
  t.same(
    [5, 7, 9, 11, 13, 15].map((id) => ids.wasPassedOver(id)),
    [false, false, true, true, false, false],
  )
})
