import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { silentLog } from '@ambit/shared/log'
import { DescriptorReserve, maxDescriptors } from './descriptor-reserve.ts'

void t.test('the highest descriptors are kept back, and that is told now and then', async (t) => {
  const clock = new FakeClock()
  let warnings = 0
  const log = { ...silentLog, warn: () => void warnings++ }
  const reserve = new DescriptorReserve({ max: 1_024, clock, log })
  t.notOk(reserve.isTouchedBy(895))
  t.equal(warnings, 0)
  for (const fd of [896, 1_023]) t.ok(reserve.isTouchedBy(fd))
  t.equal(warnings, 1)
  await clock.advance(10_000)
  t.ok(reserve.isTouchedBy(896))
  t.equal(warnings, 2)
  const small = new DescriptorReserve({ max: 100, clock, log })
  t.same([small.isTouchedBy(74), small.isTouchedBy(75)], [false, true])
  t.ok(maxDescriptors() >= 64)
})
