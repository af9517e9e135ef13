import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import {
  createConnectionRecorder,
  createLog,
  DRAINED,
  LogLevels,
  MAX_LINE_BYTES,
  MetricRegistry,
  silentLog,
  type ConnectionInfo,
  type ConnectionRecorder,
  type LogFormat,
  type WorkloadLabels,
} from './index.ts'

interface Kit {
  readonly lines: string[]
  readonly clock: FakeClock
  readonly recorder: ConnectionRecorder
}

function kit({ format = 'plain', levels = 'info' }: { format?: LogFormat; levels?: string } = {}): Kit {
  const lines: string[] = []
  const clock = new FakeClock()
  const log = createLog({
    write: (line) => lines.push(line),
    format,
    clock,
    levels: new LogLevels(levels),
    program: 'ztunnel',
  })
  const registry = new MetricRegistry({ log: silentLog })
  return { lines, clock, recorder: createConnectionRecorder({ registry, log, clock }) }
}

function workload(name: string, serviceAccount: string): WorkloadLabels {
  return {
    name: `${name}-0`,
    namespace: 'default',
    trustDomain: '',
    serviceAccount,
    workloadName: name,
    canonicalName: name,
    canonicalRevision: 'v1',
    clusterId: 'Kubernetes',
    locality: { region: 'r', zone: 'z' },
  }
}

const FULL: ConnectionInfo = {
  direction: 'outbound',
  mutualTls: true,
  src: {
    addr: { address: '10.0.0.1', port: 1234 },
    workload: workload('client', 'client'),
    identity: SpiffeId.parse('spiffe://cluster.local/ns/default/sa/client'),
  },
  dst: {
    addr: { address: '10.0.0.2', port: 15008 },
    hboneAddr: '10.0.0.2:8080',
    workload: workload('server', 'server'),
    service: { name: 'server', namespace: 'default', hostname: 'server.default.svc.cluster.local' },
  },
}

const BARE: ConnectionInfo = {
  direction: 'inbound',
  mutualTls: false,
  src: { addr: { address: '10.0.0.1', port: 1234 } },
  dst: { addr: { address: '10.0.0.2', port: 80 } },
}

/** What follows the time. */
function withoutTime(line: string | undefined): string {
  return (line ?? '').slice('2026-01-01T00:00:00.000000Z\t'.length)
}

void t.test("an outbound tunnel writes the line of Istio's ztunnel, character by character", async (t) => {
  const { lines, clock, recorder } = kit()
  const connection = recorder.opened(FULL)
  connection.attach({ bytesAtoB: 4, bytesBtoA: 5 })
  await clock.advance(3)
  connection.finish('success')
  t.same(lines, [
    '2026-01-01T00:00:00.003000Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:1234 src.workload="client-0" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/client" src.cluster="Kubernetes" dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 dst.service="server.default.svc.cluster.local" dst.workload="server-0" dst.namespace="default" dst.identity="spiffe://cluster.local/ns/default/sa/server" dst.cluster="Kubernetes" direction="outbound" bytes_sent=4 bytes_recv=5 duration="3ms"\n',
  ])
})

void t.test('as JSON the same keys in the same order, numbers as numbers', async (t) => {
  const { lines, recorder } = kit({ format: 'json' })
  const connection = recorder.opened(FULL)
  connection.attach({ bytesAtoB: 4, bytesBtoA: 5 })
  connection.finish({ flag: 'CONNECT', error: 'connection refused' })
  const line: unknown = JSON.parse(lines[0] ?? '')
  const expected = {
    level: 'error',
    time: '2026-01-01T00:00:00.000000Z',
    scope: 'access',
    message: 'connection complete',
    'src.addr': '10.0.0.1:1234',
    'src.workload': 'client-0',
    'src.namespace': 'default',
    'src.identity': 'spiffe://cluster.local/ns/default/sa/client',
    'src.cluster': 'Kubernetes',
    'dst.addr': '10.0.0.2:15008',
    'dst.hbone_addr': '10.0.0.2:8080',
    'dst.service': 'server.default.svc.cluster.local',
    'dst.workload': 'server-0',
    'dst.namespace': 'default',
    'dst.identity': 'spiffe://cluster.local/ns/default/sa/server',
    'dst.cluster': 'Kubernetes',
    direction: 'outbound',
    bytes_sent: 4,
    bytes_recv: 5,
    duration: '0ms',
    error: 'connection refused',
  }
  t.equal(JSON.stringify(line), JSON.stringify(expected))
})

void t.test('what is not known is left out', async (t) => {
  const { lines, recorder } = kit()
  recorder.opened(BARE).finish('success')
  t.equal(
    withoutTime(lines[0]),
    'info\taccess\tconnection complete\tsrc.addr=10.0.0.1:1234 dst.addr=10.0.0.2:80 direction="inbound" bytes_sent=0 bytes_recv=0 duration="0ms"\n',
  )
})
