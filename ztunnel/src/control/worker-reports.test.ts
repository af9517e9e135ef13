import { FakeClock } from '@ambit/shared/clock'
import { silentLog } from '@ambit/shared/log'
import { label, METRICS, MetricRegistry, type MetricsDelta } from '@ambit/shared/telemetry'
import t from 'tap'
import { WorkerPool } from './worker-pool.ts'
import type { DataWorker, DataWorkerEvents } from './worker-process.ts'
import { WorkerReports } from './worker-reports.ts'

const labels = (flag: string): string =>
  `reporter="source",response_flags="${flag}",connection_security_policy="unknown"`

void t.test('what a dead worker had open is closed; what comes from it later is not counted', async (t) => {
  const clock = new FakeClock()
  const metrics = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  let started: { readonly events: DataWorkerEvents; readonly worker: DataWorker } | undefined
  const pool: WorkerPool = new WorkerPool({
    count: 1,
    spawn: (events) => {
      const worker = { pid: 4711, send() {}, end() {}, kill() {} }
      started ??= { events, worker }
      return worker
    },
    welcome() {},
    onMessage: (worker, message) => {
      if (message.type === 'report') reports.receive(worker, message)
    },
    onGone: (worker) => reports.gone(worker),
    clock,
    log: silentLog,
  })
  const reports = new WorkerReports(pool, metrics, clock)
  pool.start()
  if (!started) throw new Error('no worker was started')
  const { events, worker } = started
  const report = (delta: MetricsDelta): void =>
    events.onMessage(worker, { type: 'report', id: 0, metrics: delta, pods: {} })
  report([
    { name: METRICS.opened.name, series: [[labels('-'), 5]] },
    {
      name: METRICS.closed.name,
      series: [
        [labels('-'), 1],
        [labels('DENY'), 1],
      ],
    },
    { name: METRICS.socketsOpen.name, series: [[label('reporter', 'source'), 3]] },
  ])
  events.onExit(worker, 'was killed by SIGKILL')
  report([
    { name: METRICS.opened.name, series: [[labels('-'), 1]] },
    { name: METRICS.closed.name, series: [[labels('-'), 2]] },
    { name: METRICS.socketsOpen.name, series: [[label('reporter', 'source'), 2]] },
  ])
  const samples = metrics.render(Object.values(METRICS)).split('\n')
  t.same(
    samples.filter((line) => line !== '' && !line.startsWith('#')),
    [
      `istio_tcp_connections_opened_total{${labels('-')}} 5`,
      `istio_tcp_connections_closed_total{${labels('-')}} 1`,
      `istio_tcp_connections_closed_total{${labels('DENY')}} 1`,
      `istio_tcp_connections_closed_total{${labels('CONNECT')}} 3`,
      `istio_tcp_connections_failed_total{${labels('CONNECT')}} 3`,
    ],
  )
  reports.stop()
})
