import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { someAtATime } from './some-at-a-time.ts'

void t.test('in their order, and never more than the limit at a time', async (t) => {
  for (const count of [0, 1, 3, 7]) {
    const begun: number[] = []
    let underWay = 0
    let most = 0
    const items = Array.from({ length: count }, (_, item) => item)
    await someAtATime(3, items, async (item) => {
      begun.push(item)
      most = Math.max(most, ++underWay)
      for (let turns = item % 2; turns >= 0; turns--) await setImmediate()
      underWay--
    })
    t.same(begun, items)
    t.same([most, underWay], [Math.min(count, 3), 0])
  }
})
