import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { ForwardingMemory } from './forwarding-memory.ts'

void t.test('the kernel is asked once a second for each family, whatever it answers', async (t) => {
  const clock = new FakeClock()
  const forwarding = { 4: false, 6: true }
  const asked: number[] = []
  const memory = new ForwardingMemory({
    clock,
    ask: (family) => {
      asked.push(family)
      return forwarding[family]
    },
  })
  const answers = (): readonly boolean[] => [memory.isForwarding(4), memory.isForwarding(6)]
  t.same(answers(), [false, true])
  forwarding[4] = true
  forwarding[6] = false
  await clock.advance(999)
  t.same(answers(), [false, true])
  t.same(asked, [4, 6])
  await clock.advance(1)
  t.same(answers(), [true, false])
  t.same(asked, [4, 6, 4, 6])
})
