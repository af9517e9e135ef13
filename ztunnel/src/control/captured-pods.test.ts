import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { selectIo } from '@ambit/shared/io'
import { silentLog, type Log } from '@ambit/shared/log'
import { MetricRegistry, METRICS } from '@ambit/shared/telemetry'
import { CapturedPods } from './captured-pods.ts'

const NOWHERE = {
  uid: 'ghost',
  name: 'ghost',
  namespace: 'default',
  serviceAccount: 'ghost',
  netns: '/run/netns/no-such',
}

void t.test('a change that fails is logged, rejects nothing, and the next one has its turn', async (t) => {
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (text, fields) => void errors.push(`${text} ${JSON.stringify(fields)}`) }
  const metrics = new MetricRegistry({ clock: new FakeClock(), log })
  const clock = new FakeClock()
  let isBroken = true
  const pods = new CapturedPods({
    io: await selectIo({ log: silentLog }),
    listen: {
      mark: undefined,
      reusePort: true,
      originalSource: false,
      ipv6: false,
      keepAlive: undefined,
      userTimeoutMs: undefined,
    },
    redirect: undefined,
    reserved: new Map(),
    probes: undefined,
    started: metrics.counter(METRICS.proxiesStarted),
    stopped: metrics.counter(METRICS.proxiesStopped),
    clock,
    log,
    onListening: () => {},
    onRemoved: () => Promise.resolve(),
    onChanged: () => {
      if (isBroken) throw new Error('whoever is told is broken')
    },
  })
  await t.rejects(pods.captureAlone(NOWHERE), { message: /^the workload cannot be served: .*no such file$/ })
  t.equal(clock.pendingTimers, 0, 'who is alone is not tried again')
  await pods.change([NOWHERE], [])
  t.match(errors, [
    /pod not captured, trying again in 5 s.*"\/run\/netns\/no-such cannot be opened: there is no such file"/,
    /a change of the pods failed .*whoever is told is broken/,
  ])
  t.equal(clock.pendingTimers, 1, 'it is tried again all the same')
  isBroken = false
  await pods.change([], [NOWHERE.uid])
  t.equal(pods.pending.size, 0)
  t.equal(clock.pendingTimers, 0)
})
