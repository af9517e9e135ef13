import t from 'tap'
import { FakeClock } from '../../clock/index.ts'
import { keepingLog } from '../ca-fixture.ts'
import { RefusalLog } from './refusal-log.ts'

void t.test('who is refused again and again gets five lines a second, and a count', async (t) => {
  const clock = new FakeClock()
  const { log, lines } = keepingLog()
  const refusals = new RefusalLog({ clock, log })
  const refuse = (peer: string): void => refusals.add({ reason: 'the token is not known', peer })
  for (let i = 0; i < 1_000; i++) refuse(`10.0.0.1:${i}`)
  refuse('[fd00::1]:5')
  t.equal(lines.length, 6)
  t.match(lines[0], /^warn certificate refused .*the token is not known.*10\.0\.0\.1:0/)
  t.match(lines[5], 'fd00::1', 'others are told of all the same')
  await clock.advance(1_000)
  t.equal(lines.length, 7)
  t.match(lines[6], /^warn more calls refused.*"peer":"10\.0\.0\.1","count":995/)
  refuse('10.0.0.1:1')
  t.equal(lines.length, 8, 'a new second, a new line')
  refusals.close()
  t.equal(lines.length, 8)
  t.equal(clock.pendingTimers, 0)
})

void t.test('many addresses are told of together', async (t) => {
  const clock = new FakeClock()
  const { log, lines } = keepingLog()
  const refusals = new RefusalLog({ clock, log })
  for (let i = 0; i < 10_000; i++) refusals.add({ reason: 'no', peer: `10.0.${i >> 8}.${i & 255}:1` })
  t.equal(lines.length, 20 + 5)
  refusals.close()
  t.equal(lines.length, 26)
  t.match(lines[25], '"peer":"others","count":9975')
})
