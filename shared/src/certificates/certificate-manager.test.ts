import t from 'tap'
import { silentLog, type Log } from '../log/index.ts'
import { DAY_MS, HOUR_MS, idOf, settled, setUp, watch } from './certificate-manager-fixture.ts'
import type { CertificateListener } from './certificate-manager.ts'

/** Notes what it is told: serial numbers, and what was lost. */
function listener(told: string[]): CertificateListener {
  return {
    available: ({ serialNumber }) => void told.push(serialNumber),
    lost: (identity, { message }) => void told.push(`lost ${identity.toString()}: ${message}`),
  }
}

function fails(): never {
  throw new Error('a listener that fails harms nobody')
}

void t.test('fetches once for many who ask, and gives all the same object', async (t) => {
  const { clock, ca, manager } = setUp()
  const asked = Array.from({ length: 50 }, () => watch(manager.get(idOf('a'), 'realtime')))
  await settled(clock)
  t.equal(ca.calls.length, 1)
  t.ok(asked.every(({ isPending }) => isPending))
  const certificate = ca.last().succeed()
  await settled(clock)
  t.ok(asked.every(({ value }) => value === certificate))
  t.equal(await manager.get(idOf('a'), 'background'), certificate, 'from the cache')
  t.equal(ca.calls.length, 1)
  t.same(manager.list(), [{ identity: idOf('a'), state: 'Available', certificate }])
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('a hundred identities, eight fetches at a time', async (t) => {
  const { clock, ca, manager } = setUp({ automatic: { latencyMs: 10 } })
  const all = Promise.all(Array.from({ length: 100 }, (_, i) => manager.get(idOf(`sa-${i}`), 'realtime')))
  await clock.advance(1_000)
  t.equal(new Set((await all).map(({ identity }) => identity.toString())).size, 100)
  t.equal(ca.calls.length, 100)
  t.equal(ca.mostActive, 8)
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('concurrency can be set', async (t) => {
  const { clock, ca, manager } = setUp({ concurrency: 4, automatic: { latencyMs: 10 } })
  const all = Promise.all(Array.from({ length: 20 }, (_, i) => manager.get(idOf(`sa-${i}`), 'realtime')))
  await clock.advance(100)
  t.equal((await all).length, 20)
  t.equal(ca.mostActive, 4)
  manager.close()
})

void t.test('realtime goes before warm-up, warm-up before background, then the one that waits longest', async (t) => {
  const { clock, ca, manager } = setUp({ concurrency: 1 })
  manager.prefetch(idOf('first')) // takes the one slot
  manager.get(idOf('background'), 'background').catch(() => {})
  await clock.advance(1)
  manager.prefetch(idOf('warm-1'))
  await clock.advance(1)
  manager.prefetch(idOf('warm-2'))
  manager.get(idOf('real-1'), 'realtime').catch(() => {})
  await clock.advance(1)
  manager.get(idOf('real-2'), 'realtime').catch(() => {})
  for (let done = 0; done < 6; done++) {
    ca.last().succeed()
    await settled(clock)
  }
  t.same(ca.names, ['first', 'real-1', 'real-2', 'warm-1', 'warm-2', 'background'])
  manager.close()
})

void t.test('a more urgent request raises one that waits, a less urgent one never lowers it', async (t) => {
  const { clock, ca, manager } = setUp({ concurrency: 1 })
  manager.prefetch(idOf('first'))
  for (const name of ['a', 'b', 'c', 'd']) manager.get(idOf(name), 'background').catch(() => {})
  manager.prefetch(idOf('c'))
  manager.get(idOf('b'), 'realtime').catch(() => {})
  manager.prefetch(idOf('b'))
  manager.get(idOf('b'), 'background').catch(() => {})
  for (let done = 0; done < 5; done++) {
    ca.last().succeed()
    await settled(clock)
  }
  t.same(ca.names, ['first', 'b', 'c', 'a', 'd'])
  manager.close()
})

void t.test('replaces a certificate at half of its life and tells the listeners', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0 })
  const told: string[] = []
  const stop = manager.onChange(listener(told))
  manager.onChange({ available: fails, lost: fails })
  manager.prefetch(idOf('a'))
  await settled(clock)
  const first = ca.last().succeed({ rootsPem: ['old root'] })
  await clock.advance(12 * HOUR_MS - 1)
  t.equal(ca.calls.length, 1)
  await clock.advance(1)
  t.equal(ca.calls.length, 2)
  t.equal(await manager.get(idOf('a'), 'realtime'), first, 'the old one is served meanwhile')
  const second = ca.last().succeed({ rootsPem: ['old root', 'new root'] })
  await settled(clock)
  const current = await manager.get(idOf('a'), 'realtime')
  t.equal(current, second)
  t.same(current.rootsPem, ['old root', 'new root'], 'roots come with the certificate that they came with')
  t.same(told, ['1', '2'])
  stop()
  await clock.advance(12 * HOUR_MS)
  ca.last().succeed()
  await settled(clock)
  t.same(told, ['1', '2'], 'not after the listener left')
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('a refresh 45 days away is neither early nor late', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0 })
  manager.prefetch(idOf('a'))
  await settled(clock)
  ca.last().succeed({ notAfterMs: clock.now() + 90 * DAY_MS })
  await clock.advance(45 * DAY_MS - 1)
  t.equal(ca.calls.length, 1)
  await clock.advance(1)
  t.equal(ca.calls.length, 2)
  manager.close()
})

void t.test('a refresh goes by the wall clock, as what the certificate says, within 30 s of its step', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0 })
  manager.prefetch(idOf('a'))
  await settled(clock)
  ca.last().succeed({ notBeforeMs: clock.now() - HOUR_MS, notAfterMs: clock.now() + 23 * HOUR_MS })
  await settled(clock)
  clock.stepWallClock(-HOUR_MS)
  await clock.advance(12 * HOUR_MS - 1)
  t.equal(ca.calls.length, 1, 'set back it is later')
  await clock.advance(1)
  t.equal(ca.calls.length, 2)
  ca.last().succeed()
  await settled(clock)
  clock.stepWallClock(25 * HOUR_MS)
  await clock.advance(30_000)
  t.equal(ca.calls.length, 3, 'set ahead to after its end, as where the machine was suspended')
  ca.last().succeed()
  await settled(clock)
  clock.stepWallClock(-1)
  await clock.advance(30_000 + 1)
  t.equal(ca.calls.length, 3, 'set back by no more than passed since')
  clock.stepWallClock(-DAY_MS)
  await clock.advance(30_000)
  t.equal(ca.calls.length, 4, 'set back to before its beginning')
  manager.close()
})

void t.test('a wall clock that is set does not change the back-off', async (t) => {
  for (const stepMs of [HOUR_MS, -HOUR_MS]) {
    const { clock, ca, manager } = setUp({ random: () => 0.5 })
    manager.get(idOf('a'), 'realtime').catch(() => {})
    await settled(clock)
    ca.last().fail(new Error('down'))
    await settled(clock)
    clock.stepWallClock(stepMs)
    await clock.advance(999)
    t.equal(ca.calls.length, 1)
    await clock.advance(1)
    t.equal(ca.calls.length, 2)
    manager.close()
  }
})

void t.test('a CA that answers with used-up certificates is not asked in a circle', async (t) => {
  const { clock, ca, manager } = setUp()
  manager.prefetch(idOf('a'))
  await settled(clock)
  for (let answered = 0; answered < 5; answered++) {
    ca.last().succeed({ notBeforeMs: clock.now() - DAY_MS, notAfterMs: clock.now() - 1 })
    await clock.advance(2 ** answered * 1_000 - 1)
    t.equal(ca.calls.length, answered + 1, 'not before the back-off')
    await clock.advance(1)
    t.equal(ca.calls.length, answered + 2)
  }
  t.equal((await manager.get(idOf('a'), 'realtime')).serialNumber, '5', 'an expired certificate is served all the same')
  manager.close()
})

void t.test('a certificate past its half is replaced well before it ends', async (t) => {
  const { clock, ca, manager } = setUp()
  manager.prefetch(idOf('a'))
  await settled(clock)
  // As from a CA that dates back by two minutes, with a lifetime of a minute.
  for (let answered = 0; answered < 10; answered++) {
    const before = ca.calls.length
    ca.last().succeed({ notBeforeMs: clock.now() - 120_000, notAfterMs: clock.now() + 60_000 })
    await clock.advance(30_000)
    t.ok(ca.calls.length > before, 'at half of what is left, at the latest')
  }
  manager.close()
})

void t.test('while no certificate could ever be had, callers get the last error at once', async (t) => {
  const { clock, ca, manager } = setUp()
  const first = watch(manager.get(idOf('a'), 'realtime'))
  await settled(clock)
  ca.last().fail(new Error('signing gRPC error (Unavailable): no'))
  await settled(clock)
  t.match(first.error, { message: 'signing gRPC error (Unavailable): no' })
  await t.rejects(manager.get(idOf('a'), 'realtime'), { message: /Unavailable/ })
  t.same(manager.list(), [{ identity: idOf('a'), state: 'Unavailable: signing gRPC error (Unavailable): no' }])
  t.equal(ca.calls.length, 1, 'asking does not fetch again')
  await clock.advance(1_000)
  t.equal(ca.calls.length, 2, 'the back-off does')
  await t.rejects(manager.get(idOf('a'), 'realtime'), 'still the cached error while the retry runs')
  ca.last().succeed()
  await settled(clock)
  t.equal((await manager.get(idOf('a'), 'realtime')).serialNumber, '1')
  manager.close()
})

void t.test('the back-off grows, and begins anew after a success', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0.5 })
  manager.get(idOf('a'), 'realtime').catch(() => {})
  await settled(clock)
  for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000]) {
    const before = ca.calls.length
    ca.last().fail(new Error('down'))
    await clock.advance(waitMs - 1)
    t.equal(ca.calls.length, before)
    await clock.advance(1)
    t.equal(ca.calls.length, before + 1, `again after ${waitMs} ms`)
  }
  const good = ca.last().succeed()
  await clock.advance(12 * HOUR_MS)
  ca.last().fail(new Error('down again'))
  const before = ca.calls.length
  await clock.advance(1_000)
  t.equal(ca.calls.length, before + 1, 'one second again')
  t.equal(await manager.get(idOf('a'), 'realtime'), good)
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('the last good certificate is served while the CA is down, until it has expired', async (t) => {
  const { clock, ca, manager } = setUp({ random: () => 0.5 })
  const told: string[] = []
  manager.onChange(listener(told))
  manager.prefetch(idOf('a'))
  await settled(clock)
  const good = ca.last().succeed({ notAfterMs: clock.now() + 100_000 })
  const down = (): void => ca.last().fail(new Error('down'))
  await clock.advance(48_750)
  t.equal(ca.calls.length, 2, 'refresh at 48.75 s')
  for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
    down()
    await clock.advance(waitMs)
    t.equal(await manager.get(idOf('a'), 'realtime'), good)
  }
  down() // at 79.75 s; the back-off of 32 s is cut to what is left of the certificate
  await clock.advance(20_250)
  t.equal(ca.calls.length, 8, 'tried again when it expires')
  t.equal(await manager.get(idOf('a'), 'realtime'), good, 'expired, still served while the fetch runs')
  down()
  await settled(clock)
  await t.rejects(manager.get(idOf('a'), 'realtime'), { message: 'down' })
  t.match(manager.list(), [{ state: 'Unavailable: down' }])
  await clock.advance(200_000)
  down()
  await settled(clock)
  t.same(told, ['1', `lost ${String(idOf('a'))}: down`], 'which is told once')
  manager.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('a forgotten identity refuses those who wait and drops what is under way', async (t) => {
  const { clock, ca, manager } = setUp()
  const told: string[] = []
  manager.onChange(listener(told))
  const waiting = watch(manager.get(idOf('a'), 'realtime'))
  await settled(clock)
  const aborted = ca.last()
  manager.forget(idOf('a'))
  await settled(clock)
  t.match(waiting.error, { code: 'forgotten', message: 'the identity is no longer needed' })
  t.ok(aborted.signal.aborted)
  const again = watch(manager.get(idOf('a'), 'realtime'))
  await settled(clock)
  t.equal(ca.calls.length, 1, 'never two fetches for one identity, even when the first does not heed its signal')
  aborted.succeed()
  await settled(clock)
  t.same(told, [], 'the late result is dropped')
  t.ok(again.isPending)
  t.equal(ca.calls.length, 2)
  const fresh = ca.last().succeed()
  await settled(clock)
  t.equal(again.value, fresh)
  manager.forget(idOf('a'))
  manager.forget(idOf('never-known'))
  t.same(manager.list(), [])
  t.equal(clock.pendingTimers, 0, 'no refresh is left for it')
  manager.close()
})

void t.test('one forgotten in the queue is never fetched', async (t) => {
  const { clock, ca, manager } = setUp({ concurrency: 1 })
  manager.prefetch(idOf('a'))
  manager.prefetch(idOf('b'))
  manager.forget(idOf('b'))
  ca.last().succeed()
  await settled(clock)
  t.same(ca.names, ['a'])
  manager.close()
})

void t.test('everything is bounded', async (t) => {
  const lines: string[] = []
  const log: Log = { ...silentLog, info: (message, fields) => lines.push(`${message} ${String(fields?.['identity'])}`) }
  const { clock, ca, manager } = setUp({
    log,
    concurrency: 1,
    maxQueuedWarmups: 2,
    maxIdentities: 5,
    maxWaitersPerIdentity: 2,
  })
  for (const name of ['running', 'w1', 'w2', 'dropped']) manager.prefetch(idOf(name))
  t.equal(lines.length, 1)
  t.match(lines[0], /fetched on first need spiffe:\/\/cluster.local\/ns\/ns\/sa\/dropped/)
  const waiting = [watch(manager.get(idOf('w1'), 'realtime')), watch(manager.get(idOf('w1'), 'realtime'))]
  await t.rejects(manager.get(idOf('w1'), 'realtime'), { code: 'overloaded' })
  manager.get(idOf('x'), 'realtime').catch(() => {})
  manager.get(idOf('y'), 'realtime').catch(() => {})
  await t.rejects(manager.get(idOf('z'), 'realtime'), { code: 'overloaded', retryable: true })
  manager.prefetch(idOf('z'))
  t.equal(manager.list().length, 5)
  ca.last().succeed()
  await settled(clock)
  ca.last().succeed()
  await settled(clock)
  t.ok(
    waiting.every(({ value }) => value !== undefined),
    'those who were let in are served',
  )
  manager.close()
})

void t.test('close refuses everybody and leaves nothing', async (t) => {
  const { clock, ca, manager } = setUp()
  manager.prefetch(idOf('available'))
  await settled(clock)
  ca.last().succeed()
  await settled(clock)
  const waiting = watch(manager.get(idOf('a'), 'realtime'))
  const fetching = ca.last()
  manager.close()
  await settled(clock)
  t.match(waiting.error, { code: 'closed' })
  t.ok(fetching.signal.aborted)
  t.equal(clock.pendingTimers, 0)
  fetching.fail(new Error('aborted'))
  await settled(clock)
  t.equal(clock.pendingTimers, 0, 'the end of an aborted fetch starts nothing')
  await t.rejects(manager.get(idOf('a'), 'realtime'), { code: 'closed' })
  manager.prefetch(idOf('b'))
  t.same(manager.list(), [])
})
