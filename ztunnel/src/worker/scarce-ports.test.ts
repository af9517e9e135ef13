import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { ScarcePorts } from './scarce-ports.ts'

const web = { address: '10.0.0.2', port: 80 }

void t.test('remembered for a while by any wall clock, for one source and destination', async (t) => {
  const clock = new FakeClock()
  const ports = new ScarcePorts(clock)
  t.notOk(ports.has('10.0.0.1', web))
  ports.add('10.0.0.1', web)
  t.ok(ports.has('10.0.0.1', web))
  t.notOk(ports.has('10.0.0.3', web))
  t.notOk(ports.has(undefined, web))
  t.notOk(ports.has('10.0.0.1', { ...web, port: 81 }))
  clock.stepWallClock(3_600_000)
  await clock.advance(249)
  t.ok(ports.has('10.0.0.1', web))
  clock.stepWallClock(-7_200_000)
  await clock.advance(1)
  t.notOk(ports.has('10.0.0.1', web))
})

void t.test('no more than 256 are remembered, the latest', (t) => {
  const ports = new ScarcePorts(new FakeClock())
  const sources = Array.from({ length: 257 }, (_, index) => `10.0.1.${index}`)
  for (const source of sources) ports.add(source, web)
  t.strictSame(
    sources.filter((source) => !ports.has(source, web)),
    ['10.0.1.0'],
  )
  t.end()
})
