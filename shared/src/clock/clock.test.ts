import t from 'tap'
import { systemClock } from './clock.ts'
import { FakeClock } from './fake-clock.ts'

void t.test('a step of the wall clock is none of the monotonic one', async (t) => {
  const before = systemClock.monotonicMs()
  t.intercept(Date, 'now', { value: () => 5 })
  t.equal(systemClock.now(), 5)
  const after = systemClock.monotonicMs()
  t.ok(after >= before)
  t.ok(Number.isInteger(after))
})

void t.test('nor does it move the timers of a fake one', async (t) => {
  const clock = new FakeClock(1_000)
  let runs = 0
  clock.after(10, () => runs++)
  clock.stepWallClock(60_000)
  t.same([clock.now(), clock.monotonicMs()], [61_000, 1_000])
  await clock.advance(9)
  t.equal(runs, 0)
  clock.stepWallClock(-120_000)
  await clock.advance(1)
  t.equal(runs, 1)
  t.same([clock.now(), clock.monotonicMs()], [-58_990, 1_010])
})
