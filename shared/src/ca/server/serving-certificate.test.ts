import t from 'tap'
import { FakeClock } from '../../clock/index.ts'
import { silentLog } from '../../log/index.ts'
import type { SigningSource } from '../authority/signing-material.ts'
import { materialOf, newAuthority } from '../ca-fixture.ts'
import { ServingCertificate } from './serving-certificate.ts'

void t.test('a renewal that failed is tried again a minute later, though the wall clock was set back', async (t) => {
  const clock = new FakeClock(Date.now())
  let isBroken = false
  const material = materialOf(newAuthority('root'))
  const source: SigningSource = {
    current() {
      if (isBroken) throw new Error('it is broken')
      return material
    },
    onChange: () => () => {},
    close() {},
  }
  const tried: string[] = []
  const serving = new ServingCertificate({
    names: ['localhost'],
    ttlMs: 7_200_000,
    source,
    clock,
    log: { ...silentLog, error: () => void tried.push('failed') },
    onRenewed: () => void tried.push('renewed'),
  })
  isBroken = true
  await clock.advance(3_600_000)
  t.same(tried, ['failed'])
  isBroken = false
  clock.stepWallClock(-1_800_000)
  // Certificates are dated in whole seconds: half of its life was over a little before.
  await clock.advance(59_000)
  t.same(tried, ['failed'])
  await clock.advance(1_000)
  t.same(tried, ['failed', 'renewed'])
  serving.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('a step of the wall clock renews within 30 s what has expired by it, or is not valid yet', async (t) => {
  const clock = new FakeClock(Date.now())
  const material = materialOf(newAuthority('root'))
  let renewed = 0
  const serving = new ServingCertificate({
    names: ['localhost'],
    ttlMs: 7_200_000,
    source: { current: () => material, onChange: () => () => {}, close() {} },
    clock,
    log: silentLog,
    onRenewed: () => void renewed++,
  })
  clock.stepWallClock(7_200_000)
  await clock.advance(30_000)
  t.equal(renewed, 1)
  clock.stepWallClock(-60_000)
  await clock.advance(30_000)
  t.equal(renewed, 1, 'valid still')
  clock.stepWallClock(-7_200_000)
  await clock.advance(30_000)
  t.equal(renewed, 2)
  serving.close()
})
