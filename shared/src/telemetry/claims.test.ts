// What peers that the mesh does not know call themselves must not cost memory, nor the series of those that it knows.
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog, type LogFields } from '../log/index.ts'
import {
  createConnectionRecorder,
  createLog,
  LogLevels,
  METRICS,
  MetricRegistry,
  type Baggage,
  type ConnectionInfo,
  type ConnectionRecorder,
  type MetricFamily,
  type MetricRegistryOptions,
  type WorkloadLabels,
} from './index.ts'

const FAMILIES: readonly MetricFamily[] = Object.values(METRICS)
const TRAFFIC = [METRICS.opened, METRICS.closed, METRICS.failed, METRICS.received, METRICS.sent]
const MALLORY = SpiffeId.of('cluster.local', 'default', 'mallory')
const HONEST = SpiffeId.of('cluster.local', 'default', 'honest')

interface Process {
  readonly registry: MetricRegistry
  readonly recorder: ConnectionRecorder
}

function startProcess(options: Partial<MetricRegistryOptions> = {}): Process {
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog, ...options })
  const clock = new FakeClock()
  const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'ztunnel' })
  return { registry, recorder: createConnectionRecorder({ registry, log, clock }) }
}

function workload(name: string): WorkloadLabels {
  const locality = { region: 'r', zone: 'z' }
  const names = { name, workloadName: name, canonicalName: name, canonicalRevision: 'v1' }
  return { ...names, namespace: 'default', trustDomain: '', serviceAccount: name, clusterId: 'one', locality }
}

/** A connection to `server` from a peer that the mesh does not know, which calls itself so. */
function claiming(identity: SpiffeId, baggage: Baggage, server = 'server'): ConnectionInfo {
  return {
    direction: 'inbound',
    mutualTls: true,
    src: { addr: { address: '192.0.2.1', port: 1 }, identity, baggage },
    dst: { addr: { address: '10.0.0.2', port: 15_008 }, workload: workload(server) },
  }
}

/** The same from a peer that the mesh knows. */
function known(name: string): ConnectionInfo {
  const info = claiming(SpiffeId.of('cluster.local', 'default', name), {})
  return { ...info, src: { ...info.src, workload: workload(name) } }
}

/** All seven values new, and long. */
function lie(index: number): Baggage {
  const value = (key: string): string => `${key}${index}${'z'.repeat(490)}`
  return {
    clusterId: value('c'),
    namespace: value('n'),
    workloadName: value('w'),
    serviceName: value('s'),
    serviceVersion: value('v'),
    region: value('r'),
    zone: value('a'),
  }
}

function carry(recorder: ConnectionRecorder, info: ConnectionInfo, isRefused = false): void {
  const connection = recorder.opened(info)
  connection.attach({ bytesAtoB: 3, bytesBtoA: 2 })
  connection.finish(isRefused ? { flag: 'CONNECT', error: 'x' } : 'success')
}

/** The samples of a metric whose labels have all of `wanted`: their labels and values. */
function samples(
  registry: MetricRegistry,
  family: MetricFamily,
  wanted: Readonly<Record<string, string>> = {},
): { readonly labels: Readonly<Record<string, string>>; readonly value: number }[] {
  const lines = registry.render([family]).split('\n')
  const all = lines.flatMap((line) => {
    const [, text, value] = /^\w+\{(.*)\} (\d+)$/.exec(line) ?? []
    if (text === undefined) return []
    const pairs = Array.from(text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, name, one]) => [name, one])
    return [{ labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }]
  })
  return all.filter(({ labels }) => Object.entries(wanted).every(([name, value]) => labels[name] === value))
}

function sum(found: readonly { readonly value: number }[]): number {
  return found.reduce((total, { value }) => total + value, 0)
}

void t.test(
  'a peer of 12,000 names has 50 series of a metric and one for the rest; others are not touched',
  async (t) => {
    const warnings: (LogFields | undefined)[] = []
    const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void warnings.push(fields) }
    const { registry, recorder } = startProcess({ log })
    for (let index = 0; index < 12_000; index++) carry(recorder, claiming(MALLORY, lie(index)), index % 2 === 0)
    const mallory = { source_principal: MALLORY.toString() }
    for (const family of [METRICS.opened, METRICS.received, METRICS.sent])
      t.equal(samples(registry, family, mallory).length, 51, family.name)
    t.equal(sum(samples(registry, METRICS.opened, mallory)), 12_000)
    t.equal(sum(samples(registry, METRICS.closed, mallory)), 12_000)
    t.equal(sum(samples(registry, METRICS.failed, mallory)), 6_000)
    t.ok(registry.render(FAMILIES).length < 1_000_000, 'less than 1 MB to scrape')
    const [rest] = samples(registry, METRICS.opened, { source_workload: 'other' })
    t.equal(rest?.value, 11_950)
    t.match(rest?.labels, {
      ...mallory,
      source_workload_namespace: 'other',
      source_cluster: 'other',
      source_region: 'other',
      destination_workload: 'server',
      destination_region: 'r',
      connection_security_policy: 'mutual_tls',
    })
    t.same(warnings, [{ peer: MALLORY.toString(), limit: 50 }], 'said once')

    carry(recorder, known('client'))
    carry(recorder, claiming(HONEST, { workloadName: 'vm', namespace: 'far' }))
    for (const family of [METRICS.opened, METRICS.closed, METRICS.received, METRICS.sent]) {
      t.equal(samples(registry, family, { source_workload: 'client' }).length, 1, 'who the mesh knows')
      t.equal(samples(registry, family, { source_workload: 'vm', source_workload_namespace: 'far' }).length, 1)
    }
  },
)

void t.test('for every name that a peer gave, as many connections closed as opened', async (t) => {
  const { registry, recorder } = startProcess({ maxClaimsPerPeer: 3 })
  for (let round = 0; round < 4; round++)
    for (let name = 0; name < 6; name++)
      carry(recorder, claiming(MALLORY, { workloadName: `w${name}` }), (name + round) % 2 === 0)
  for (const name of ['w0', 'w1', 'w2', 'other']) {
    const opened = sum(samples(registry, METRICS.opened, { source_workload: name }))
    t.equal(opened, name === 'other' ? 12 : 4, name)
    t.equal(sum(samples(registry, METRICS.closed, { source_workload: name })), opened)
    t.equal(sum(samples(registry, METRICS.failed, { source_workload: name })), opened / 2)
  }
})

void t.test('the bound is on pairs of ends, so that many destinations do not multiply it', async (t) => {
  const { registry, recorder } = startProcess({ maxClaimsPerPeer: 3 })
  for (let server = 0; server < 5; server++) carry(recorder, claiming(MALLORY, { workloadName: 'w' }, `s${server}`))
  t.equal(samples(registry, METRICS.opened, { source_workload: 'w' }).length, 3)
  const rest = samples(registry, METRICS.opened, { source_workload: 'other' })
  t.same(
    rest.map(({ labels }) => labels['destination_workload']),
    ['s3', 's4'],
    'destinations are told all the same: the mesh knows them',
  )
})

void t.test('claimed values are cut at 128 characters, those of the mesh are not', async (t) => {
  const { registry, recorder } = startProcess()
  const long = { ...known('n'.repeat(200)), dst: claiming(MALLORY, {}).dst }
  carry(recorder, claiming(MALLORY, lie(1)))
  carry(recorder, long)
  const [claimed] = samples(registry, METRICS.opened, { source_principal: MALLORY.toString() })
  for (const name of ['workload', 'app', 'cluster', 'version', 'region', 'zone', 'workload_namespace'])
    t.equal(claimed?.labels[`source_${name}`]?.length, 128, name)
  t.equal(samples(registry, METRICS.opened, { source_workload: 'n'.repeat(200) }).length, 1)
})

void t.test('who says nothing of itself stays unknown, and does not use up what it may claim', async (t) => {
  const { registry, recorder } = startProcess({ maxClaimsPerPeer: 1 })
  for (let server = 0; server < 3; server++) carry(recorder, claiming(MALLORY, {}, `s${server}`))
  carry(recorder, claiming(MALLORY, { workloadName: 'w' }))
  t.equal(samples(registry, METRICS.opened, { source_workload: 'unknown' }).length, 3)
  t.equal(samples(registry, METRICS.opened, { source_workload: 'w' }).length, 1)
})

void t.test('all claims together have a bound, which does not touch who the mesh knows', async (t) => {
  const maxClaimedCharacters = 200_000
  const { registry, recorder } = startProcess({ maxClaimedCharacters })
  const peers = Array.from({ length: 40 }, (_, index) => SpiffeId.of('cluster.local', 'default', `p${index}`))
  for (const peer of peers) for (let index = 0; index < 10; index++) carry(recorder, claiming(peer, lie(index)))
  const all = TRAFFIC.flatMap((family) => samples(registry, family))
  const claimed = all.filter(({ labels }) => labels['source_workload']?.startsWith('w'))
  const characters = claimed.reduce((total, { labels }) => total + Object.entries(labels).join('').length, 0)
  t.ok(claimed.length > 10 && characters < maxClaimedCharacters, `${claimed.length} series of ${characters} characters`)
  t.equal(sum(samples(registry, METRICS.opened)), 400, 'all are counted')
  for (const peer of peers)
    t.equal(sum(samples(registry, METRICS.opened, { source_principal: peer.toString() })), 10, 'each by its identity')
  carry(recorder, known('client'))
  t.equal(samples(registry, METRICS.opened, { source_workload: 'client' }).length, 1)
})

void t.test('when peers fill a metric, those that the mesh knows have all their room', async (t) => {
  const { registry, recorder } = startProcess({ maxSeriesPerFamily: 4 })
  for (let peer = 0; peer < 10; peer++)
    carry(recorder, claiming(SpiffeId.of('cluster.local', 'default', `p${peer}`), { workloadName: 'w' }))
  for (let index = 0; index < 6; index++) carry(recorder, known(`c${index}`))
  const opened = samples(registry, METRICS.opened)
  const names = opened.map(({ labels }) => labels['source_workload'])
  t.same(names, ['w', 'w', 'w', 'w', 'other', 'c0', 'c1', 'c2', 'c3'])
  t.equal(opened[4]?.value, 6 + 2)
})

void t.test('the bounds hold over all workers, those that died included', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  for (let worker = 0; worker < 20; worker++) {
    const { registry, recorder } = startProcess()
    for (let index = 0; index < 60; index++) carry(recorder, claiming(MALLORY, { workloadName: `w${worker}-${index}` }))
    control.merge(structuredClone(registry.takeDelta()), String(worker), FAMILIES)
    carry(recorder, claiming(MALLORY, { workloadName: `w${worker}-0` }), true)
    control.merge(structuredClone(registry.takeDelta()), String(worker), FAMILIES)
    control.removeSource(String(worker))
  }
  t.equal(samples(control, METRICS.opened).length, 51)
  t.equal(sum(samples(control, METRICS.opened)), 20 * 61)
  t.equal(sum(samples(control, METRICS.closed)), 20 * 61)
  const rest = { source_workload: 'other' }
  t.equal(sum(samples(control, METRICS.closed, rest)), sum(samples(control, METRICS.opened, rest)))
  control.merge(
    [{ name: METRICS.opened.name, series: [['a="1"', 1, { by: '', ends: '', instead: '\n' }]] }],
    'w',
    FAMILIES,
  )
  t.notMatch(control.render(FAMILIES), 'a="1"', 'no claim smuggles a line in')
})
