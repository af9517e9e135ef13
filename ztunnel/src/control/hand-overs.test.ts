import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { silentLog, type Log } from '@ambit/shared/log'
import type { NetworkNamespace } from '../linux/index.ts'
import type { ListenerRole, ToWorker } from '../messages.ts'
import type { CapturedPod } from './pod-capture.ts'
import { HandOvers } from './hand-overs.ts'
import type { DataWorker } from './worker-process.ts'

type Given = Extract<ToWorker, { type: 'listener' }>

class Taker implements DataWorker {
  readonly pid = 4711
  given: Given[] = []

  send(message: ToWorker): void {
    if (message.type === 'listener') this.given.push(message)
  }

  end(): void {}

  kill(): void {}

  /** What came since it was last asked, as `pod role`. */
  news(): readonly string[] {
    return this.given.splice(0).map(({ pod, role }) => `${pod.name} ${role}`)
  }
}

function captured(name: string, roles: readonly ListenerRole[]): CapturedPod {
  return {
    pod: { uid: name, name, namespace: 'default', serviceAccount: name, netns: '' },
    listeners: roles.map((role) => ({ role, transparent: true, handle: { fd: 0, close() {} } })),
    redirection: undefined,
    // Nobody looks into it.
    namespace: {} as NetworkNamespace,
  }
}

void t.test('a listener is handed over until it is confirmed, ever less often', async (t) => {
  const clock = new FakeClock()
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (text, fields) => void warnings.push(`${text} ${JSON.stringify(fields)}`) }
  const handOvers = new HandOvers({ clock, log })
  const worker = new Taker()
  handOvers.give(worker, captured('a', ['inbound', 'outbound']))
  const [inbound, outbound] = worker.given
  if (!inbound || !outbound) throw new Error('nothing was handed over')
  worker.news()
  handOvers.confirmed(worker, inbound.id)
  for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    await clock.advance(pauseMs - 1)
    t.same(worker.news(), [])
    await clock.advance(1)
    t.same(worker.news(), ['a outbound'], `after ${pauseMs} ms`)
    if (pauseMs === 1_000) t.same(warnings, [], 'nothing to tell of')
  }
  t.match(warnings, [/data worker 4711 has not taken the listeners of all pods.*"pods":"default\/a"/])
  handOvers.confirmed(worker, outbound.id)
  t.equal(clock.pendingTimers, 0)
})

void t.test(
  'nothing is handed over of pods and to workers that are gone, and no old answer confirms a new socket',
  async (t) => {
    const clock = new FakeClock()
    const handOvers = new HandOvers({ clock, log: silentLog })
    const [worker, other] = [new Taker(), new Taker()]
    for (const taker of [worker, other]) handOvers.give(taker, captured('a', ['inbound']))
    const [old] = worker.given
    handOvers.removed('a')
    t.equal(clock.pendingTimers, 0)
    for (const taker of [worker, other]) handOvers.give(taker, captured('a', ['inbound']))
    handOvers.confirmed(worker, old?.id ?? 0)
    handOvers.gone(other)
    for (const taker of [worker, other]) taker.news()
    await clock.advance(1_000)
    t.same([worker.news(), other.news()], [['a inbound'], []])
    handOvers.stop()
    t.equal(clock.pendingTimers, 0)
  },
)
