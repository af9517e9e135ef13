import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { silentLog, type LogFields } from '../log/index.ts'
import { collectProcessMetrics, label, labelText, METRICS, MetricRegistry, type MetricFamily } from './index.ts'

const OWN: readonly MetricFamily[] = Object.values(METRICS)

/** Two families with a label of any values, and one more. */
const MESSAGES = { name: 'messages', type: 'counter', help: 'Messages.', labels: ['url'] } as const
const BYTES = { name: 'message_bytes', type: 'counter', help: 'Their bytes.', labels: ['url'] } as const
const ENDS = { name: 'ends', type: 'counter', help: 'Ends.', labels: ['reason'] } as const
const FAMILIES: readonly MetricFamily[] = [...OWN, MESSAGES, BYTES, ENDS]

/** The samples of a text by name and labels. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

void t.test("only Istio's stable metrics are without the word unstable; names are valid and told once", async (t) => {
  const stable = OWN.filter(({ help }) => !help.includes('unstable')).map(({ name }) => name)
  t.same(stable, [
    'istio_build',
    'istio_tcp_connections_opened',
    'istio_tcp_connections_closed',
    'istio_tcp_received_bytes',
    'istio_tcp_sent_bytes',
    'process_open_fds',
    'process_max_fds',
  ])
  t.equal(new Set(OWN.map(({ name }) => name)).size, OWN.length)
  for (const { name, labels, help } of OWN) {
    t.match(name, /^[a-z][a-z_]*[a-z]$/)
    t.notMatch(name, /_total$/, 'the sample of a counter adds it')
    t.notMatch(help, /[\n\\]/)
    for (const one of labels) t.match(one, /^[a-z][a-z_]*$/)
  }
})

void t.test('families are shown in the order asked for, only those asked for and only with samples', async (t) => {
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  t.equal(registry.render(FAMILIES), '# EOF\n')
  registry.counter(METRICS.proxiesStopped).add(1)
  registry.gauge(METRICS.build, labelText({ component: 'ztunnel', tag: '1.30.0' })).set(1)
  registry.counter(METRICS.proxiesStarted)
  const types = (families: Iterable<MetricFamily>): string[] => registry.render(families).match(/(?<=# TYPE ).*/g) ?? []
  t.same(types(FAMILIES), [
    'istio_build gauge',
    'workload_manager_proxies_started counter',
    'workload_manager_proxies_stopped counter',
  ])
  t.same(types([METRICS.proxiesStopped]), ['workload_manager_proxies_stopped counter'])
  t.match(registry.render(FAMILIES), '\nistio_build{component="ztunnel",tag="1.30.0"} 1\n')
  t.match(registry.render(FAMILIES), '\nworkload_manager_proxies_started_total 0\n')
})

void t.test('the process tells its file descriptors, those of its workers added', async (t) => {
  const worker = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  collectProcessMetrics(worker)
  const stop = collectProcessMetrics(registry)
  const alone = samples(registry.render(FAMILIES))
  const own = alone.get('process_open_fds') ?? 0
  t.ok(own >= 3 && own < 10_000)
  t.ok((alone.get('process_max_fds') ?? 0) > own)
  registry.merge(worker.takeDelta(), 'worker 0', FAMILIES)
  stop()
  const both = samples(registry.render(FAMILIES))
  t.equal(both.get('process_open_fds'), 2 * own)
  t.equal(both.get('process_max_fds'), 2 * (alone.get('process_max_fds') ?? 0))
})

void t.test('beyond the limit of series further ones are counted together, said once, and none is lost', async (t) => {
  const warnings: (LogFields | undefined)[] = []
  const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void warnings.push(fields) }
  const registry = new MetricRegistry({ clock: new FakeClock(), log, maxSeriesPerFamily: 3 })
  const urls = Array.from({ length: 10 }, (_, i) => label('url', `u${i}`))
  for (let round = 0; round < 2; round++) for (const url of urls) registry.counter(MESSAGES, url).add(1)
  registry.counter(ENDS, label('reason', 'Error')).add(1)
  t.same(Object.fromEntries(samples(registry.render(FAMILIES))), {
    'messages_total{url="u0"}': 2,
    'messages_total{url="u1"}': 2,
    'messages_total{url="u2"}': 2,
    'messages_total{url="other"}': 14,
    'ends_total{reason="Error"}': 1,
  })
  t.same(warnings, [{ metric: 'messages', limit: 3 }])
})

void t.test('label values: missing reads unknown, special characters are escaped, long ones are cut', async (t) => {
  t.equal(label('a', undefined), 'a="unknown"')
  t.equal(label('a', ''), 'a="unknown"')
  t.equal(label('a', 'x y'), 'a="x y"')
  t.equal(label('a', '\\n"'), 'a="\\\\n\\""')
  t.equal(label('a', 'l1\nl2\r\t\u0000\u2028é'), 'a="l1\\nl2    é"')
  t.equal(label('a', 'x'.repeat(2000)), `a="${'x'.repeat(512)}"`)
  t.equal(label('a', '"'.repeat(2000)), `a="${'\\"'.repeat(512)}"`, 'a cut never splits an escape')
  t.equal(label('a', `${'x'.repeat(511)}\u{1f600}`), `a="${'x'.repeat(511)}\ufffd"`, 'nor leaves half a character')
  t.equal(labelText({ a: '1', b: undefined }), 'a="1",b="unknown"')
  t.equal(labelText({}), '')
})

void t.test('a delta tells what changed since the last one, new series at 0 included', async (t) => {
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const started = registry.counter(METRICS.proxiesStarted)
  const active = registry.gauge(METRICS.activeProxies)
  t.same(registry.takeDelta(), [
    { name: 'workload_manager_proxies_started', series: [['', 0]] },
    { name: 'workload_manager_active_proxy_count', series: [['', 0]] },
  ])
  t.same(registry.takeDelta(), [])
  started.add(2)
  started.add(3)
  active.add(4)
  t.same(registry.takeDelta(), [
    { name: 'workload_manager_proxies_started', series: [['', 5]] },
    { name: 'workload_manager_active_proxy_count', series: [['', 4]] },
  ])
  started.add(1)
  active.add(-1)
  t.same(registry.takeDelta(), [
    { name: 'workload_manager_proxies_started', series: [['', 1]] },
    { name: 'workload_manager_active_proxy_count', series: [['', 3]] },
  ])
  active.add(1)
  active.add(-1)
  t.same(registry.takeDelta(), [], 'what went and came back is no change')
})

void t.test('deltas of processes add up; when one ends its counters stay and its gauges go', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  control.counter(MESSAGES, label('url', 'a')).add(1)
  const workers = ['0', '1'].map((name) => ({
    name,
    registry: new MetricRegistry({ clock: new FakeClock(), log: silentLog }),
  }))
  for (const { name, registry } of workers) {
    registry.counter(MESSAGES, label('url', 'a')).add(10)
    registry.gauge(METRICS.socketsOpen, label('reporter', 'source')).set(5)
    control.merge(structuredClone(registry.takeDelta()), name, FAMILIES)
    registry.gauge(METRICS.socketsOpen, label('reporter', 'source')).add(2)
    control.merge(registry.takeDelta(), name, FAMILIES)
    control.merge(registry.takeDelta(), name, FAMILIES)
  }
  const counted = 'messages_total{url="a"}'
  const open = 'istio_tcp_sockets_open{reporter="source"}'
  t.same(Object.fromEntries(samples(control.render(FAMILIES))), { [counted]: 21, [open]: 14 })
  control.removeSource('0')
  control.removeSource('never seen')
  t.same(Object.fromEntries(samples(control.render(FAMILIES))), { [counted]: 21, [open]: 7 })
  control.removeSource('1')
  t.same(Object.fromEntries(samples(control.render(FAMILIES))), { [counted]: 21 })
  control.merge([{ name: METRICS.socketsOpen.name, series: [[label('reporter', 'source'), 3]] }], '0', FAMILIES)
  t.equal(samples(control.render(FAMILIES)).get(open), 3, 'a new process of that name counts anew')
})

void t.test('a gauge that this process holds stays when others go', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const own = control.gauge(METRICS.openFds)
  own.set(7)
  control.merge([{ name: METRICS.openFds.name, series: [['', 20]] }], 'w', FAMILIES)
  t.match(control.render(FAMILIES), 'process_open_fds 27\n')
  control.removeSource('w')
  own.set(8)
  t.match(control.render(FAMILIES), 'process_open_fds 8\n')
})

void t.test('of a delta only known metrics with sane values are taken', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, -1]
  control.merge(
    [
      { name: 'forged', series: [['', 1]] },
      { name: METRICS.proxiesStarted.name, series: bad.map((value) => ['', value]) },
      { name: METRICS.activeProxies.name, series: bad.map((value) => ['', value]) },
      { name: MESSAGES.name, series: [['url="a"} 1\nforged{b="', 1]] },
      { name: BYTES.name, series: [[label('url', 'x').padEnd(100_000, 'x'), 1]] },
    ],
    'w',
    FAMILIES,
  )
  t.equal(control.render([...FAMILIES, { name: 'forged', type: 'counter', help: 'x', labels: [] }]), '# EOF\n')
})

void t.test('whatever was counted where and told when, the sum is that of all processes', async () => {
  const url = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const step = fc.record({ worker: fc.nat(2), url, amount: fc.nat(9), isTold: fc.boolean(), isEnded: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog, maxSeriesPerFamily: 3 })
      const workers = Array.from(
        { length: 3 },
        () => new MetricRegistry({ clock: new FakeClock(), log: silentLog, maxSeriesPerFamily: 2 }),
      )
      let sum = 0
      for (const { worker, url: name, amount, isTold, isEnded } of steps) {
        workers[worker]?.counter(BYTES, label('url', name)).add(amount)
        sum += amount
        if (isTold) control.merge(workers[worker]?.takeDelta() ?? [], String(worker), FAMILIES)
        if (isEnded) control.removeSource(String(worker))
      }
      for (const [name, worker] of workers.entries()) control.merge(worker.takeDelta(), String(name), FAMILIES)
      const found = [...samples(control.render(FAMILIES)).values()]
      return found.length <= 4 && found.reduce((total, value) => total + value, 0) === sum
    }),
    { numRuns: 200 },
  )
})
