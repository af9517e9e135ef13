import { FakeClock } from '@ambit/shared/clock'
import { silentLog } from '@ambit/shared/log'
import t from 'tap'
import { WorkerPool } from './worker-pool.ts'
import type { DataWorker } from './worker-process.ts'

void t.test('a worker that dies is replaced at once, from the sixth within 10 s on a second later', async (t) => {
  const clock = new FakeClock()
  const spawned: (() => void)[] = []
  const pool = new WorkerPool({
    count: 1,
    spawn: (events) => {
      const worker: DataWorker = { pid: 4711, send() {}, end() {}, kill() {} }
      spawned.push(() => events.onExit(worker, 'was killed by SIGKILL'))
      return worker
    },
    welcome() {},
    onMessage() {},
    onGone() {},
    clock,
    log: silentLog,
  })
  const dies = (): void => spawned.at(-1)?.()
  pool.start()
  for (let deaths = 1; deaths <= 5; deaths++) {
    dies()
    t.equal(spawned.length, 1 + deaths)
  }
  clock.stepWallClock(3_600_000)
  dies()
  t.equal(spawned.length, 6, 'a wall clock that is set ahead does not make them long ago')
  await clock.advance(1_000)
  t.equal(spawned.length, 7)
  clock.stepWallClock(-7_200_000)
  await clock.advance(10_000)
  dies()
  t.equal(spawned.length, 8, 'nor one that is set back recent')
  t.equal(clock.pendingTimers, 0)
})
