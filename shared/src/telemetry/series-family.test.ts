// No source of connections takes the series of the others, and those that nobody needs any more make room.
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog, type LogFields } from '../log/index.ts'
import {
  createConnectionRecorder,
  createLog,
  label,
  LogLevels,
  METRICS,
  MetricRegistry,
  OpenTally,
  type ConnectionInfo,
  type MetricFamily,
  type OpenConnection,
  type WorkloadLabels,
} from './index.ts'
import { sourceOf } from './traffic-labels.ts'

const FAMILIES: readonly MetricFamily[] = Object.values(METRICS)
const ALL = [METRICS.opened, METRICS.closed, METRICS.received, METRICS.sent]
const HOUR_MS = 3_600_000
const REPORT_MS = 5_000

const records = new Map<string, WorkloadLabels>()

function workload(name: string): WorkloadLabels {
  const locality = { region: 'r', zone: 'z' }
  const names = { name, workloadName: name, canonicalName: name, canonicalRevision: 'v1' }
  const made = { ...names, namespace: 'default', trustDomain: '', serviceAccount: name, clusterId: 'one', locality }
  const known = records.get(name) ?? made
  records.set(name, known)
  return known
}

function between(source: string, destination: string): ConnectionInfo {
  return {
    direction: 'outbound',
    mutualTls: true,
    src: {
      addr: { address: '10.0.0.1', port: 1 },
      identity: SpiffeId.of('cluster.local', 'default', source),
      workload: workload(source),
    },
    dst: { addr: { address: '10.0.0.2', port: 80 }, workload: workload(destination) },
  }
}

/** A worker and the control process that it reports to. */
class Node {
  readonly clock = new FakeClock()
  readonly warnings: (LogFields | undefined)[] = []
  readonly control: MetricRegistry
  readonly worker: MetricRegistry
  readonly tally = new OpenTally()
  readonly #open: (info: ConnectionInfo) => OpenConnection

  constructor(maxSeriesPerFamily?: number) {
    const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void this.warnings.push(fields) }
    const { clock } = this
    const limit = maxSeriesPerFamily === undefined ? {} : { maxSeriesPerFamily }
    this.control = new MetricRegistry({ log: silentLog, clock, ...limit })
    this.worker = new MetricRegistry({ log, clock, ...limit })
    this.control.keepOpen(() => this.tally.openEnds())
    const lines = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'x' })
    const recorder = createConnectionRecorder({ registry: this.worker, log: lines, clock })
    this.#open = (info) => recorder.opened(info)
  }

  open(source: string, destination: string): OpenConnection {
    return this.#open(between(source, destination))
  }

  connect(source: string, destination: string): void {
    const connection = this.open(source, destination)
    connection.attach({ bytesAtoB: 3, bytesBtoA: 2 })
    connection.finish('success')
  }

  report(): void {
    const delta = structuredClone(this.worker.takeDelta())
    this.tally.add(delta)
    this.control.merge(delta, 'worker', FAMILIES)
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms)
    this.report()
  }

  /** What both say of a metric: the values of the series of a source, or of `other`. */
  counted(source: string, family: MetricFamily = METRICS.opened): readonly (readonly number[])[] {
    return [this.worker, this.control].map((registry) => {
      const lines = registry.render([family]).split('\n')
      const own = lines.filter((line) => line.includes(label('source_workload', source)))
      return own.map((line) => Number(line.slice(line.lastIndexOf(' '))))
    })
  }
}

function sum(values: readonly number[] | undefined): number {
  return values?.reduce((total, value) => total + value, 0) ?? 0
}

/** The same of worker and control process. */
function both(values: readonly number[]): readonly (readonly number[])[] {
  return [values, values]
}

void t.test('a pod that connects to 8,000 workloads has half of the series, another has its own', async (t) => {
  const node = new Node()
  for (let index = 0; index < 8_000; index++) node.connect('greedy', `w${index}`)
  node.report()
  node.connect('good', 'server')
  node.report()
  for (const family of ALL) {
    for (const values of node.counted('greedy', family)) t.equal(values.length, 2_500, family.name)
    for (const values of node.counted('good', family)) t.equal(values.length, 1, family.name)
  }
  for (const registry of [0, 1]) {
    t.equal(sum(node.counted('greedy')[registry]) + sum(node.counted('other')[registry]), 8_000, 'none is lost')
    t.same(node.counted('good')[registry], [1])
  }
  t.equal(node.warnings.length, ALL.length, 'said once for each metric')
  t.match(node.warnings[0], { limit: 5_000, source: /source_workload="greedy"/ })
})

void t.test('nor do many such pods together leave nothing', async (t) => {
  const node = new Node(1_000)
  for (let source = 0; source < 8; source++)
    for (let index = 0; index < 1_000; index++) node.connect(`greedy${source}`, `w${index}`)
  node.connect('good', 'server')
  node.report()
  for (const family of ALL)
    t.same(
      node.counted('good', family).map((values) => values.length),
      [1, 1],
      family.name,
    )
  t.same(
    node.counted('greedy1').map((values) => values.length),
    [250, 250],
  )
})

void t.test('when room is needed, what has not moved for an hour goes; what is open stays', async (t) => {
  const node = new Node(8)
  const long = node.open('greedy', 'w0')
  for (const index of [1, 2, 3, 4, 5]) node.connect('greedy', `w${index}`)
  await node.pass(REPORT_MS)
  t.same(node.counted('greedy'), both([1, 1, 1, 1]))
  await node.pass(HOUR_MS / 2)
  node.connect('greedy', 'w1')
  await node.pass(HOUR_MS / 2)
  t.same(node.counted('greedy'), both([1, 2]), 'the open one, and the one of half an hour ago')
  t.same(node.counted('other'), both([2]), 'what is counted together stays')

  node.connect('greedy', 'w2')
  node.connect('greedy', 'w5')
  await node.pass(REPORT_MS)
  t.same(node.counted('greedy'), both([1, 2, 1, 1]), 'begun anew, the one of which there was none before, too')
  await node.pass(2 * HOUR_MS)
  long.finish('success')
  await node.pass(REPORT_MS)
  t.same(node.counted('greedy'), both([1]))
  t.same(node.counted('greedy', METRICS.closed), both([1]), 'it was closed under its own labels')
  await node.pass(HOUR_MS)
  await node.pass(HOUR_MS)
  t.same(node.counted('greedy'), [[], []])
})

void t.test('where there is room for all, nothing goes', async (t) => {
  const node = new Node(8)
  for (const index of [1, 2, 3, 4]) node.connect('modest', `w${index}`)
  for (let hours = 0; hours < 30; hours++) await node.pass(HOUR_MS)
  t.same(node.counted('modest'), both([1, 1, 1, 1]))
  t.same(node.warnings, [])
})

void t.test('what closes under other labels than it opened under is not remembered without end', async (t) => {
  const tally = new OpenTally()
  const told = (name: string, of: string): void => {
    const text = `${label('source_workload', name)},response_flags="-",x="y"`
    tally.add([{ name: of, series: [[text, 1]] }])
  }
  told('stays', METRICS.opened.name)
  let most = 0
  for (let index = 0; index < 40_000; index++) {
    told(`w${index}`, METRICS.opened.name)
    told('other', METRICS.closed.name)
    most = Math.max(most, tally.size)
  }
  t.equal(most, 15_000)
  t.equal([...tally.openEnds()].length, 1)
  const [closed] = tally.cut()
  t.equal(closed?.series.length, 1)
})

void t.test('the source of a series is told by its labels, whatever stands in them', async (t) => {
  const odd = 'a",destination_service="b\\",'
  const source = `${label('source_workload', odd)},${label('source_principal', 'spiffe://x')}`
  t.equal(sourceOf(`${label('reporter', 'source')},${source},${label('destination_service', odd)}`), source)
  t.equal(sourceOf(`${source},${label('hostname', 'h')},source_region="r"`), source)
  t.equal(sourceOf(label('url', 'source_workload="x"')), undefined)
  t.equal(sourceOf(''), undefined)
})
