import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { OneAtATime } from './one-at-a-time.ts'

void t.test('each has its turn when the one before has ended, also where that failed', async (t) => {
  const order: string[] = []
  const turns = new OneAtATime()
  const first = turns.run(async () => {
    order.push('first begins')
    await setImmediate()
    order.push('first ends')
    throw new Error('first failed')
  })
  const second = turns.run(async () => {
    order.push('second')
    return 2
  })
  await t.rejects(first, { message: 'first failed' })
  t.equal(await second, 2)
  t.same(order, ['first begins', 'first ends', 'second'])
})
