import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { AbuseGuard } from './abuse-guard.ts'
import { ConnectionError } from './connection-error.ts'
import { DEFAULT_LIMITS } from './limits.ts'

const none = { burst: 0, perSecond: 0 }

/** Resets by the peer until one is too many. */
function resetsTaken(guard: AbuseGuard): number {
  for (let taken = 0; ; taken++) {
    try {
      guard.peerReset(false)
    } catch (error) {
      if (error instanceof ConnectionError) return taken
      throw error
    }
  }
}

void t.test('a server has one free reset for each stream that was opened', async (t) => {
  const guard = new AbuseGuard({ ...DEFAULT_LIMITS, earlyResets: none }, new FakeClock())
  t.equal(resetsTaken(guard), 0)
  for (let i = 0; i < 3; i++) guard.streamOpened()
  t.equal(resetsTaken(guard), 3)
  t.equal(resetsTaken(guard), 0)
})

void t.test('tokens come with time, not with the wall clock', async (t) => {
  const clock = new FakeClock()
  const guard = new AbuseGuard({ ...DEFAULT_LIMITS, earlyResets: { burst: 10, perSecond: 4 } }, clock)
  t.equal(resetsTaken(guard), 10)
  clock.stepWallClock(3_600_000)
  t.equal(resetsTaken(guard), 0, 'set ahead')
  await clock.advance(1000)
  clock.stepWallClock(-7_200_000)
  t.equal(resetsTaken(guard), 4, 'set back')
})

void t.test('free resets are saved up to a bound only', async (t) => {
  const guard = new AbuseGuard({ ...DEFAULT_LIMITS, earlyResets: none, maxExpectedResets: 5 }, new FakeClock())
  for (let i = 0; i < 1000; i++) guard.streamOpened()
  t.equal(resetsTaken(guard), 5)
})

void t.test('200 resets a second are honest for however long, of streams with data or without', async (t) => {
  for (const hadCarriedData of [false, true]) {
    const clock = new FakeClock()
    const guard = new AbuseGuard(DEFAULT_LIMITS, clock)
    for (let tenths = 0; tenths < 6_000; tenths++) {
      for (let i = 0; i < 20; i++) guard.peerReset(hadCarriedData)
      await clock.advance(100)
    }
    t.pass(`ten minutes, ${hadCarriedData ? 'with' : 'without'} data`)
  }
})
