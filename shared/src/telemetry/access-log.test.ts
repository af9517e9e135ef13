import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog } from '../log/index.ts'
import {
  createConnectionRecorder,
  createLog,
  LogLevels,
  MAX_LINE_BYTES,
  MetricRegistry,
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
  const registry = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
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

void t.test('without mutual TLS no identity is told, even where the mesh has one on record', async (t) => {
  const { lines, recorder } = kit()
  recorder.opened({ ...FULL, mutualTls: false }).finish('success')
  t.notMatch(lines[0], /identity/)
  t.match(lines[0], /src\.cluster="Kubernetes" dst\.addr/)
})

void t.test('what the mesh does not know is told from baggage, service name before workload name', async (t) => {
  const { lines, recorder } = kit()
  const baggage = { clusterId: 'west', namespace: 'far', workloadName: 'w', serviceName: 's' }
  recorder.opened({ ...BARE, src: { ...BARE.src, baggage } }).finish('success')
  recorder.opened({ ...BARE, src: { ...BARE.src, baggage: { workloadName: 'w' } } }).finish('success')
  recorder.opened({ ...FULL, src: { ...FULL.src, baggage } }).finish('success')
  const anonymous = { ...workload('client', 'client'), name: '' }
  recorder.opened({ ...FULL, src: { ...FULL.src, workload: anonymous, baggage } }).finish('success')
  t.match(lines[0], 'src.addr=10.0.0.1:1234 src.workload="s" src.namespace="far" src.cluster="west" dst.addr')
  t.match(lines[1], 'src.addr=10.0.0.1:1234 src.workload="w" dst.addr')
  t.match(lines[2], 'src.workload="client-0" src.namespace="default"', 'the mesh overrides baggage')
  t.match(lines[3], 'src.workload="client" src.namespace="default"', 'without a pod name, the canonical service')
})

void t.test('the destination is whom the mesh has on record', async (t) => {
  const { lines, recorder } = kit()
  const elsewhere = { ...workload('server', 'server'), trustDomain: 'elsewhere' }
  recorder.opened({ ...FULL, dst: { ...FULL.dst, workload: elsewhere } }).finish('success')
  t.match(lines[0], 'dst.identity="spiffe://elsewhere/ns/default/sa/server"')
})

void t.test("bytes are told from the local workload's side", async (t) => {
  const { lines, recorder } = kit()
  for (const direction of ['outbound', 'inbound'] as const) {
    const connection = recorder.opened({ ...FULL, direction })
    connection.attach({ bytesAtoB: 100, bytesBtoA: 7 })
    connection.finish('success')
  }
  t.match(lines[0], 'direction="outbound" bytes_sent=100 bytes_recv=7 duration')
  t.match(lines[1], 'direction="inbound" bytes_sent=7 bytes_recv=100 duration')
})

void t.test('bytes of all counters are told, as they were at the end, in one line only', async (t) => {
  const { lines, clock, recorder } = kit()
  const connection = recorder.opened(FULL)
  connection.attach({ bytesAtoB: 10, bytesBtoA: 1 })
  const second = { bytesAtoB: 0, bytesBtoA: 0 }
  connection.attach(second)
  second.bytesAtoB = 5
  await clock.advance(61_000)
  second.bytesBtoA = 2
  connection.finish('success')
  second.bytesAtoB = 1000
  connection.finish({ flag: 'CONNECT', error: 'again' })
  t.equal(lines.length, 1)
  t.match(lines[0], 'bytes_sent=15 bytes_recv=3 duration="61000ms"\n')
})

void t.test('the time of a line is the wall clock, its duration is not', async (t) => {
  const { lines, clock, recorder } = kit()
  for (const stepMs of [3_600_000, -3_600_000]) {
    const connection = recorder.opened(BARE)
    clock.stepWallClock(stepMs)
    await clock.advance(3)
    connection.finish('success')
  }
  t.match(lines[0], /^2026-01-01T01:00:00.003000Z.* duration="3ms"/)
  t.match(lines[1], /^2026-01-01T00:00:00.006000Z.* duration="3ms"/)
})

void t.test('of several endpoints that were tried the last is told', async (t) => {
  const { lines, recorder } = kit()
  const connection = recorder.opened(FULL)
  const dst = { ...FULL.dst, addr: { address: 'fd00::9', port: 15008 }, workload: workload('spare', 'spare') }
  connection.redirect({ ...FULL, dst })
  connection.finish('success')
  t.match(lines[0], 'dst.addr=[fd00::9]:15008 dst.hbone_addr=10.0.0.2:8080')
  t.match(
    lines[0],
    'dst.workload="spare-0" dst.namespace="default" dst.identity="spiffe://cluster.local/ns/default/sa/spare"',
  )
  t.match(lines[0], 'src.workload="client-0"')
  const next = recorder.opened(FULL)
  next.finish('success')
  t.match(lines[1], 'dst.workload="server-0"', 'and no other connection is told of it')
})

void t.test('success is info, failure is error with the reason last, the start is debug', async (t) => {
  const { lines, recorder } = kit({ levels: 'off,access=debug' })
  recorder.opened(BARE).finish({ flag: 'DENY', error: 'refused by "ns/policy"' })
  recorder.opened(BARE).finish({ flag: 'CONNECT', error: 'connection refused' })
  recorder.opened(BARE).finish('success')
  const ends = 'src.addr=10.0.0.1:1234 dst.addr=10.0.0.2:80 direction="inbound"'
  const counts = 'bytes_sent=0 bytes_recv=0 duration="0ms"'
  t.same(lines.map(withoutTime), [
    `debug\taccess\tconnection opened\t${ends}\n`,
    `error\taccess\tconnection complete\t${ends} ${counts} error="refused by \\"ns/policy\\""\n`,
    `debug\taccess\tconnection opened\t${ends}\n`,
    `error\taccess\tconnection complete\t${ends} ${counts} error="connection refused"\n`,
    `debug\taccess\tconnection opened\t${ends}\n`,
    `info\taccess\tconnection complete\t${ends} ${counts}\n`,
  ])
})

void t.test('the target access has a level of its own', async (t) => {
  for (const [levels, seen] of [
    ['access=error,debug', ['error']],
    ['access=warn,debug', ['error', 'warn']],
    ['access=info', ['info', 'error', 'warn']],
    ['access=off,debug', []],
  ] as const) {
    const { lines, recorder } = kit({ levels })
    recorder.opened(BARE).finish('success')
    recorder.opened(BARE).finish({ flag: 'CONNECT', error: 'connection refused' })
    recorder.denied({ direction: 'inbound', src: BARE.src.addr, dst: BARE.dst.addr, error: 'x' })
    t.same(
      lines.map((line) => line.split('\t')[1]),
      seen,
      levels,
    )
  }
})

void t.test('an early denial is one line of four keys', async (t) => {
  const denial = { direction: 'outbound', src: { address: '::1', port: 1 }, dst: BARE.dst.addr } as const
  const plain = kit()
  plain.recorder.denied({ ...denial, error: 'unknown source\r\n2026' })
  t.equal(
    withoutTime(plain.lines[0]),
    'warn\taccess\tconnection failed\tsrc.addr=[::1]:1 dst.addr=10.0.0.2:80 direction="outbound" error="unknown source\\r\\n2026"\n',
  )
  const json = kit({ format: 'json' })
  json.recorder.denied({ ...denial, error: 'unknown source' })
  t.match(
    json.lines[0],
    '"message":"connection failed","src.addr":"[::1]:1","dst.addr":"10.0.0.2:80","direction":"outbound","error":"unknown source"}\n',
  )
})

/** A connection all of whose texts are the peer's. */
function hostileInfo(text: string, direction: 'inbound' | 'outbound'): ConnectionInfo {
  const baggage = { clusterId: text, namespace: text, workloadName: text, serviceName: text }
  return {
    ...FULL,
    direction,
    src: { addr: FULL.src.addr, baggage, identity: FULL.src.identity },
    dst: { addr: FULL.dst.addr, hboneAddr: text, service: { name: text, namespace: text, hostname: text } },
  }
}

const KEYS = JSON.stringify(
  [
    'level time scope message src.addr src.workload src.namespace src.identity src.cluster dst.addr dst.hbone_addr'.split(
      ' ',
    ),
    'dst.service direction bytes_sent bytes_recv duration error'.split(' '),
  ].flat(),
)

/** Throws when a line is not what it should be. */
function checkLines(text: string, error: string, side: 'inbound' | 'outbound'): void {
  for (const format of ['plain', 'json'] as const) {
    const { lines, recorder } = kit({ format, levels: 'debug' })
    recorder.opened(hostileInfo(text, side)).finish({ flag: 'CONNECT', error })
    recorder.denied({ direction: side, src: FULL.src.addr, dst: FULL.dst.addr, error })
    if (lines.length !== 3) throw new Error(`${lines.length} lines`)
    for (const line of lines) {
      if (!/^[ -~\t]+\n$/.test(line) || line.length > MAX_LINE_BYTES) throw new Error(`not one line: ${line}`)
      if (format === 'plain' && line.split('\t').length !== 5) throw new Error(`a tab too many: ${line}`)
    }
    if (format === 'plain') continue
    const parsed: Record<string, unknown> = JSON.parse(lines[1] ?? '')
    if (JSON.stringify(Object.keys(parsed)) !== KEYS) throw new Error(`other keys: ${lines[1]}`)
  }
}

void t.test(
  'whatever a peer calls itself, the line stays one line of at most 4096 bytes with the same keys',
  async () => {
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
      fc.string({ minLength: 1, maxLength: 2000 }),
      fc.string({
        unit: fc.constantFrom('"', '\\', '\n', '\t', '\u202e', '\u{1f600}', '\ud800', 'x'),
        minLength: 1,
        maxLength: 2000,
      }),
    )
    const direction = fc.constantFrom('inbound' as const, 'outbound' as const)
    fc.assert(fc.property(anyText, anyText, direction, checkLines), {
      numRuns: 200,
      examples: [
        ['"x" error="forged', '\r\n', 'inbound'],
        ['\u{1f600}'.repeat(3000), '\u{1f600}'.repeat(3000), 'outbound'],
        ['x'.repeat(100_000), '"'.repeat(100_000), 'outbound'],
      ],
    })
  },
)

void t.test("a peer's text cannot pass for another field", async (t) => {
  const { lines, recorder } = kit()
  recorder.opened(hostileInfo('a" dst.identity="b', 'inbound')).finish('success')
  t.match(lines[0], 'src.workload="a\\" dst.identity=\\"b" src.namespace=')
  t.match(lines[0], 'dst.hbone_addr="a\\" dst.identity=\\"b" dst.service=', 'an address that is none is quoted')
})

void t.test('all values at their longest keep every key', async (t) => {
  const name = 'n'.repeat(400)
  const far = { address: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', port: 65_535 }
  const long = { ...workload(name, name), namespace: name, trustDomain: name, name, clusterId: name }
  const id = SpiffeId.of('t'.repeat(200), 'n'.repeat(63), 's'.repeat(200))
  for (const format of ['plain', 'json'] as const) {
    const { lines, recorder } = kit({ format })
    const connection = recorder.opened({
      direction: 'outbound',
      mutualTls: true,
      src: { addr: far, workload: long, identity: id },
      dst: { addr: far, hboneAddr: name, workload: long, service: { name, namespace: name, hostname: name } },
    })
    connection.attach({ bytesAtoB: Number.MAX_SAFE_INTEGER, bytesBtoA: Number.MAX_SAFE_INTEGER })
    connection.finish({ flag: 'CONNECT', error: 'e'.repeat(2000) })
    const [line = ''] = lines
    t.ok(line.length > 3500 && line.length <= MAX_LINE_BYTES, `${line.length} bytes`)
    t.match(line, /src\.workload"?[=:]"n{256}\.\.\.\(cut\)"/)
    t.match(line, /dst\.identity"?[=:]"spiffe:\/\/n{375}\.\.\.\(cut\)"/)
    t.match(line, /error"?[=:]"e{512}\.\.\.\(cut\)"\}?\n$/)
  }
})
