import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog } from '../log/index.ts'
import {
  createConnectionRecorder,
  createLog,
  labelText,
  LogLevels,
  METRICS,
  MetricRegistry,
  TRAFFIC_LABELS,
  type ConnectionInfo,
  type ConnectionRecorder,
  type MetricFamily,
  type WorkloadLabels,
} from './index.ts'

const FAMILIES: readonly MetricFamily[] = Object.values(METRICS)

interface Kit {
  readonly registry: MetricRegistry
  readonly recorder: ConnectionRecorder
  readonly text: () => string
}

function kit({ trustDomain }: { trustDomain?: string } = {}): Kit {
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const clock = new FakeClock()
  const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'ztunnel' })
  const recorder = createConnectionRecorder({ registry, log, clock, ...(trustDomain && { trustDomain }) })
  return { registry, recorder, text: () => registry.render(FAMILIES) }
}

function workload(name: string): WorkloadLabels {
  return {
    name: `${name}-0`,
    namespace: `${name}-ns`,
    trustDomain: '',
    serviceAccount: `${name}-sa`,
    workloadName: `${name}-workload`,
    canonicalName: `${name}-app`,
    canonicalRevision: `${name}-v1`,
    clusterId: `${name}-cluster`,
    locality: { region: `${name}-region`, zone: `${name}-zone` },
  }
}

const FULL: ConnectionInfo = {
  direction: 'outbound',
  mutualTls: true,
  src: {
    addr: { address: '10.0.0.1', port: 1234 },
    workload: workload('a'),
    identity: SpiffeId.parse('spiffe://td/ns/a-ns/sa/a-sa'),
  },
  dst: {
    addr: { address: '10.0.0.2', port: 15008 },
    workload: workload('b'),
    service: { name: 'svc', namespace: 'svc-ns', hostname: 'svc.svc-ns.svc.cluster.local' },
  },
}

const BARE: ConnectionInfo = {
  direction: 'inbound',
  mutualTls: false,
  src: { addr: { address: '10.0.0.1', port: 1234 } },
  dst: { addr: { address: '10.0.0.2', port: 80 } },
}

const FULL_HEAD =
  'reporter="source",source_workload="a-workload",source_canonical_service="a-app",source_canonical_revision="a-v1",source_workload_namespace="a-ns",source_principal="spiffe://td/ns/a-ns/sa/a-sa",source_app="a-app",source_version="a-v1",source_cluster="a-cluster",destination_service="svc.svc-ns.svc.cluster.local",destination_service_namespace="svc-ns",destination_service_name="svc",destination_workload="b-workload",destination_canonical_service="b-app",destination_canonical_revision="b-v1",destination_workload_namespace="b-ns",destination_principal="spiffe://cluster.local/ns/b-ns/sa/b-sa",destination_app="b-app",destination_version="b-v1",destination_cluster="b-cluster",request_protocol="tcp",'
const FULL_TAIL =
  ',connection_security_policy="mutual_tls",source_region="a-region",source_zone="a-zone",destination_region="b-region",destination_zone="b-zone"'

/** The samples of a text by name and labels. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

/** The sample of FULL in a metric with that flag. */
function series(metric: string, flag: string): string {
  return `${metric}_total{${FULL_HEAD}response_flags="${flag}"${FULL_TAIL}}`
}

/** The labels of the only series of a sample. */
function labelsOf(text: string, sample: string): Record<string, string> {
  const line = text.split('\n').find((one) => one.startsWith(`${sample}{`)) ?? ''
  return Object.fromEntries(Array.from(line.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, name, value]) => [name, value]))
}

void t.test("a finished connection is told as Istio's ztunnel tells it", async (t) => {
  const { recorder, text } = kit()
  const connection = recorder.opened(FULL)
  connection.attach({ bytesAtoB: 4, bytesBtoA: 5 })
  connection.finish('success')
  const labels = `${FULL_HEAD}response_flags="-"${FULL_TAIL}`
  t.equal(
    text(),
    [
      '# HELP istio_tcp_connections_opened Connections opened, those refused later included.',
      '# TYPE istio_tcp_connections_opened counter',
      `istio_tcp_connections_opened_total{${labels}} 1`,
      '# HELP istio_tcp_connections_closed Connections closed.',
      '# TYPE istio_tcp_connections_closed counter',
      `istio_tcp_connections_closed_total{${labels}} 1`,
      '# HELP istio_tcp_received_bytes Bytes in the direction of the request.',
      '# TYPE istio_tcp_received_bytes counter',
      `istio_tcp_received_bytes_total{${labels}} 4`,
      '# HELP istio_tcp_sent_bytes Bytes in the direction of the response.',
      '# TYPE istio_tcp_sent_bytes counter',
      `istio_tcp_sent_bytes_total{${labels}} 5`,
      '# HELP istio_tcp_sockets_open Data sockets accepted and still open (unstable).',
      '# TYPE istio_tcp_sockets_open gauge',
      'istio_tcp_sockets_open{reporter="source"} 0',
      'istio_tcp_sockets_open{reporter="destination"} 0',
      '# EOF',
      '',
    ].join('\n'),
  )
})

void t.test('the traffic labels stand in the order that the family names', async (t) => {
  const { recorder, text } = kit()
  recorder.opened(FULL)
  const localities = ['source_region', 'source_zone', 'destination_region', 'destination_zone']
  const labels = labelsOf(text(), 'istio_tcp_connections_opened_total')
  t.same(Object.keys(labels), [...TRAFFIC_LABELS, ...localities])
})

void t.test('where nothing is known every label reads unknown, and there are no localities', async (t) => {
  const { recorder, text } = kit()
  recorder.opened(BARE)
  const labels = labelsOf(text(), 'istio_tcp_connections_opened_total')
  const { reporter, request_protocol: protocol, response_flags: flags, ...rest } = labels
  t.same([reporter, protocol, flags], ['destination', 'tcp', '-'])
  t.same(Object.keys(labels), TRAFFIC_LABELS)
  t.same(new Set(Object.values(rest)), new Set(['unknown']))
})

void t.test('with one end known the localities of both are told', async (t) => {
  for (const ends of [
    { src: { ...BARE.src, workload: workload('a') } },
    { src: { ...BARE.src, baggage: { region: 'a-region', zone: 'a-zone' } } },
  ]) {
    const { recorder, text } = kit()
    recorder.opened({ ...BARE, ...ends })
    t.match(
      text(),
      'connection_security_policy="unknown",source_region="a-region",source_zone="a-zone",destination_region="unknown",destination_zone="unknown"} 1',
    )
  }
})

void t.test(
  'baggage tells of a source that the mesh does not know; app is then the name of the workload',
  async (t) => {
    const { recorder, text } = kit()
    const baggage = {
      clusterId: 'west',
      namespace: 'far',
      workloadName: 'w',
      serviceName: 's',
      serviceVersion: 'v9',
      region: 'r9',
      zone: 'z9',
    }
    recorder.opened({ ...BARE, src: { ...BARE.src, baggage }, dst: { ...BARE.dst, workload: workload('b') } })
    const labels = labelsOf(text(), 'istio_tcp_connections_opened_total')
    t.match(labels, {
      source_workload: 'w',
      source_canonical_service: 's',
      source_canonical_revision: 'v9',
      source_workload_namespace: 'far',
      source_principal: 'unknown',
      source_app: 'w',
      source_version: 'v9',
      source_cluster: 'west',
      source_region: 'r9',
      source_zone: 'z9',
      destination_workload: 'b-workload',
      destination_app: 'b-app',
      destination_cluster: 'b-cluster',
      destination_region: 'b-region',
    })
  },
)

void t.test('the principals: verified of the source, on record of the destination', async (t) => {
  const own = { ...workload('b'), trustDomain: 'on-record' }
  const cases: readonly (readonly [string, ConnectionInfo, string, string])[] = [
    ['plaintext', { ...BARE, dst: { ...BARE.dst, workload: workload('b') } }, 'unknown', 'spiffe://td/ns/b-ns/sa/b-sa'],
    [
      'record',
      { ...FULL, dst: { ...FULL.dst, workload: own } },
      'spiffe://td/ns/a-ns/sa/a-sa',
      'spiffe://on-record/ns/b-ns/sa/b-sa',
    ],
  ]
  for (const [name, info, source, destination] of cases) {
    const { recorder, text } = kit({ trustDomain: 'td' })
    recorder.opened(info)
    const labels = labelsOf(text(), 'istio_tcp_connections_opened_total')
    t.equal(labels['source_principal'], source, name)
    t.equal(labels['destination_principal'], destination, name)
  }
})

void t.test('a failure is flagged in closed and failed only; opened equals closed', async (t) => {
  const { recorder, text } = kit()
  const flags = ['DENY', 'CONNECT', 'H2_HANDSHAKE_FAILURE', 'NETWORK_POLICY', 'IDENTITY_ERROR'] as const
  for (const flag of [...flags, 'CERT_REVOKED'] as const) {
    const connection = recorder.opened(FULL)
    connection.attach({ bytesAtoB: 1, bytesBtoA: 0 })
    connection.finish({ flag, error: 'x' })
    connection.finish('success')
  }
  recorder.opened(FULL).finish('success')
  recorder.denied({ direction: 'inbound', src: FULL.src.addr, dst: FULL.dst.addr, error: 'early' })
  const found = samples(text())
  t.equal(found.get(series('istio_tcp_connections_opened', '-')), 7)
  t.equal(found.get(series('istio_tcp_received_bytes', '-')), 6)
  t.equal(found.get(series('istio_tcp_connections_closed', '-')), 1)
  t.equal(found.get(series('istio_tcp_connections_failed', '-')), undefined)
  for (const flag of [...flags, 'CERT_REVOKED']) {
    t.equal(found.get(series('istio_tcp_connections_closed', flag)), 1, flag)
    t.equal(found.get(series('istio_tcp_connections_failed', flag)), 1, flag)
  }
  t.equal(found.size, 3 + 7 + 6 + 2, 'and nothing else is counted')
})

void t.test('bytes are told while the connection is open, each once', async (t) => {
  const { recorder, text } = kit()
  const connection = recorder.opened(BARE)
  const first = { bytesAtoB: 10, bytesBtoA: 1 }
  connection.attach(first)
  t.match(text(), /received_bytes_total\{.*\} 10\n/)
  first.bytesAtoB = 15
  t.match(text(), /received_bytes_total\{.*\} 15\n/)
  first.bytesAtoB = 20
  const second = { bytesAtoB: 100, bytesBtoA: 100 }
  connection.attach(second)
  t.match(text(), /received_bytes_total\{.*\} 120\n/)
  t.match(text(), /sent_bytes_total\{.*\} 101\n/)
  connection.redirect(FULL)
  second.bytesBtoA = 200
  connection.finish('success')
  second.bytesBtoA = 1000
  t.match(text(), /sent_bytes_total\{.*\} 101\n/, 'what went to the first endpoint')
  t.match(text(), /sent_bytes_total\{.*\} 100\n/, 'and to the second')
  for (const name of ['opened', 'closed'])
    t.equal([...text().matchAll(new RegExp(`^istio_tcp_connections_${name}_total\\{.*\\} 1$`, 'gm'))].length, 2, name)
  t.notMatch(text(), /^istio_tcp_connections_failed_total\{/m, 'the client was told of no failure')
})

void t.test('names that are resolved are counted by who wanted them; workers are added up', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const identity = SpiffeId.parse('spiffe://td/ns/a-ns/sa/a-sa')
  for (const worker of ['one', 'two']) {
    const { recorder, registry } = kit()
    for (let uses = 0; uses < 2; uses++) recorder.nameUsed(workload('a'), identity, 'db.example')
    control.merge(registry.takeDelta(), worker, FAMILIES)
  }
  t.match(
    control.render(FAMILIES),
    `# HELP istio_on_demand_dns Names of workloads resolved for a connection, those that were remembered included (unstable).
# TYPE istio_on_demand_dns counter
istio_on_demand_dns_total{source_workload="a-workload",source_canonical_service="a-app",source_canonical_revision="a-v1",source_workload_namespace="a-ns",source_principal="spiffe://td/ns/a-ns/sa/a-sa",source_app="a-app",source_version="a-v1",source_cluster="a-cluster",hostname="db.example"} 4
`,
  )
})

void t.test('sockets are a gauge by reporter; revoked certificates are counted', async (t) => {
  const { recorder, text } = kit()
  recorder.socketOpened('source')
  recorder.socketOpened('destination')
  recorder.socketOpened('destination')
  recorder.socketClosed('destination')
  recorder.revoked('destination')
  const found = samples(text())
  t.equal(found.get('istio_tcp_sockets_open{reporter="source"}'), 1)
  t.equal(found.get('istio_tcp_sockets_open{reporter="destination"}'), 1)
  t.equal(found.get('istio_crl_policy_rejections_total{reporter="destination"}'), 1)
  recorder.socketClosed('destination')
  t.match(text(), 'istio_tcp_sockets_open{reporter="destination"} 0\n', 'a gauge at 0 is still told')
})

void t.test('a peer that calls itself otherwise each time fills one series per metric, not the memory', async (t) => {
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog, maxSeriesPerFamily: 5 })
  const clock = new FakeClock()
  const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'p' })
  const recorder = createConnectionRecorder({ registry, log, clock })
  for (let i = 0; i < 50; i++) {
    const connection = recorder.opened({ ...BARE, src: { ...BARE.src, baggage: { workloadName: `w${i}` } } })
    connection.attach({ bytesAtoB: 3, bytesBtoA: 0 })
    connection.finish('success')
  }
  const found = [...samples(registry.render([METRICS.received]))]
  t.equal(found.length, 6)
  t.equal(
    found.reduce((sum, [, value]) => sum + value, 0),
    150,
  )
  t.match(labelsOf(registry.render([METRICS.received]), 'istio_tcp_received_bytes_total'), { source_workload: 'w0' })
  t.match(found[5]?.[0], labelText(Object.fromEntries(TRAFFIC_LABELS.map((name) => [name, 'other']))))
})

void t.test('whatever a peer calls itself, the text stays one sample of the same labels', async () => {
  const hostile = fc.constantFrom(
    '"',
    '\\',
    '\n',
    '\r',
    '}',
    '{',
    ',',
    '=',
    ' ',
    '#',
    '\u2028',
    '\u0085',
    '\u{1f600}',
    '\ud800',
  )
  const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: hostile, maxLength: 1200 }))
  const sample = /^\w+_total\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*"(?:,(?!\})|(?=\})))+\} \d+$/
  fc.assert(
    fc.property(anyText, (name) => {
      const { recorder, registry } = kit()
      recorder.opened({ ...BARE, src: { ...BARE.src, baggage: { workloadName: name, namespace: name } } })
      const lines = registry.render([METRICS.opened]).split('\n')
      // oxlint-disable-next-line no-control-regex
      const isClean = !/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(lines[2] ?? '') && lines[2]?.isWellFormed()
      return lines.length === 5 && lines[3] === '# EOF' && isClean === true && sample.test(lines[2] ?? '')
    }),
    { numRuns: 300, examples: [['x"} 1\nforged{a="'], ['\\'.repeat(513)]] },
  )
})

void t.test('labels at their longest come through from another process', async (t) => {
  const { recorder, registry } = kit()
  const name = '"'.repeat(600)
  const baggage = {
    clusterId: name,
    namespace: name,
    workloadName: name,
    serviceName: name,
    serviceVersion: name,
    region: name,
    zone: name,
  }
  const identity = SpiffeId.of('t'.repeat(250), 'n'.repeat(150), 's'.repeat(150))
  const service = { name, namespace: name, hostname: name }
  recorder.opened({
    ...BARE,
    src: { ...BARE.src, baggage, identity },
    dst: { ...BARE.dst, workload: workload(name), service },
  })
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  control.merge(registry.takeDelta(), 'w', FAMILIES)
  t.equal(control.render(FAMILIES), registry.render(FAMILIES))
})
