import { FakeClock } from '@ambit/shared/clock'
import t from 'tap'
import { onceIdle } from './once-idle.ts'

void t.test('runs after the first interval without work, and only then', async (t) => {
  const clock = new FakeClock()
  const shares = [0.5, 0.03, 0.001, 0.001]
  let ran = 0
  onceIdle(
    () => void ran++,
    clock,
    (before) => ({ idle: 0, active: 0, utilization: before ? (shares.shift() ?? 0) : 1 }),
  )
  await clock.advance(1_499)
  t.equal(ran, 0, 'busy at first')
  await clock.advance(1)
  t.equal(ran, 1)
  await clock.advance(60_000)
  t.equal(ran, 1)
  t.equal(clock.pendingTimers, 0)
})
