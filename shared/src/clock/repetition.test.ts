import t from 'tap'
import { FakeClock } from './fake-clock.ts'
import { Repetition } from './repetition.ts'

void t.test('the pause begins when the work has ended, and none follows a stop', async (t) => {
  const clock = new FakeClock()
  const under: PromiseWithResolvers<void>[] = []
  const repetition = new Repetition(clock, 100, () => {
    const one = Promise.withResolvers<void>()
    under.push(one)
    return one.promise
  })
  await clock.advance(99)
  t.equal(under.length, 0)
  await clock.advance(1)
  t.equal(under.length, 1)
  await clock.advance(1_000)
  t.equal(under.length, 1, 'never twice at once')
  under[0]?.resolve()
  await clock.advance(100)
  t.equal(under.length, 2)
  repetition.stop()
  t.ok(repetition.isStopped)
  under[1]?.resolve()
  await clock.advance(0)
  t.equal(clock.pendingTimers, 0)
})

void t.test('stopped in a pause', async (t) => {
  const clock = new FakeClock()
  const repetition = new Repetition(clock, 100, () => Promise.reject(new Error('not called')))
  repetition.stop()
  t.equal(clock.pendingTimers, 0)
})
