import type { Clock } from '@ambit/shared/clock'
import { NOWHERE } from '@ambit/shared/collections'
import t from 'tap'
import type { TrackedConnection } from './open-connections.ts'
import { Recheck } from './recheck.ts'

function connection(): TrackedConnection {
  return {
    direction: 'inbound',
    place: NOWHERE,
    summarise: () => ({ src: '', originalDst: null, actualDst: '', protocol: 'TCP' }),
    facts: undefined,
    close: () => {},
  }
}

void t.test('a slice ends when its time is over, and everybody is asked once', async (t) => {
  let monotonicMs = 0
  // A wall clock that is set back all the time is as good.
  const clock: Clock = { now: () => 0, monotonicMs: () => monotonicMs, after: () => ({ cancel: () => {} }) }
  const later: (() => void)[] = []
  const recheck = new Recheck({ clock, soon: (run) => void later.push(run) })
  const asked: TrackedConnection[] = []
  const all = Array.from({ length: 10 }, connection)
  const ask = (one: TrackedConnection): void => {
    asked.push(one)
    monotonicMs++
  }
  recheck.add(all.slice(0, 5), ask)
  recheck.add(all, ask)
  t.equal(asked.length, 0, 'nobody before what else is to be done')
  const slices: number[] = []
  for (let run = later.shift(); run; run = later.shift()) {
    const before = asked.length
    run()
    slices.push(asked.length - before)
    t.ok(later.length <= 1)
  }
  t.same(slices, [4, 4, 2])
  t.same(asked, all)
})
