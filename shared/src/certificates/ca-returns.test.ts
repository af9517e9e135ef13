// What a manager does when its CA answers again after it was away.
import t from 'tap'
import { HOUR_MS, idOf, settled, setUp, type TestCa } from './certificate-manager-fixture.ts'

const MINUTE_MS = 60_000

/** Fails what is asked from the given call on; returns how many calls there are now. */
function failFrom(ca: TestCa, first: number): number {
  for (const call of ca.calls.slice(first)) call.fail(new Error('down'))
  return ca.calls.length
}

void t.test('when one identity has its certificate, those that failed ask again within two seconds', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0.5 })
  const others = ['b', 'c', 'd']
  for (const name of others) manager.prefetch(idOf(name))
  let seen = 0
  for (let waited = 0; waited < 10 * MINUTE_MS; waited += 1_000) {
    await settled(clock)
    seen = failFrom(ca, seen)
    await clock.advance(1_000)
  }
  seen = failFrom(ca, seen)
  manager.prefetch(idOf('a'))
  await settled(clock)
  t.equal(ca.calls.length, seen + 1)
  ca.last().succeed()
  seen++
  await clock.advance(2_000)
  t.same(ca.names.slice(seen), others)

  seen = failFrom(ca, seen)
  manager.prefetch(idOf('e'))
  await settled(clock)
  ca.last().succeed()
  seen++
  await clock.advance(MINUTE_MS)
  t.equal(ca.calls.length, seen, 'what is refused is not asked for with every success')
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('who has had a certificate meanwhile is hastened again', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0.5 })
  manager.prefetch(idOf('b'))
  await settled(clock)
  for (let outage = 1; outage <= 2; outage++) {
    let seen = ca.calls.length - 1
    for (let waited = 0; waited < 10 * MINUTE_MS; waited += 1_000) {
      seen = failFrom(ca, seen)
      await clock.advance(1_000)
    }
    seen = failFrom(ca, seen)
    manager.prefetch(idOf(`a${outage}`))
    await settled(clock)
    ca.last().succeed()
    await clock.advance(2_000)
    t.equal(ca.last().name, 'b', `outage ${outage}`)
    ca.last().succeed()
    await settled(clock)
    if (outage === 2) break
    manager.forget(idOf('a1'))
    await clock.advance(12 * HOUR_MS)
    t.equal(ca.last().name, 'b')
  }
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('who asks again sooner anyway does not wait longer for it', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0.5 })
  manager.prefetch(idOf('b'))
  await settled(clock)
  // Tried at once, after 1 s and after 2 s more; the next time is 4 s later.
  let seen = failFrom(ca, 0)
  for (const waitMs of [1_000, 2_000]) {
    await clock.advance(waitMs)
    seen = failFrom(ca, seen)
  }
  t.equal(seen, 3)
  await clock.advance(3_900)
  manager.prefetch(idOf('a'))
  await settled(clock)
  ca.last().succeed()
  await clock.advance(100)
  t.same(ca.names.slice(3), ['a', 'b'])
  manager.close()
})
