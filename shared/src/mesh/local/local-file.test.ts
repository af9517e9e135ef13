import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { FakeClock, systemClock } from '../../clock/index.ts'
import { silentLog } from '../../log/index.ts'
import type { MeshResource, MeshUpdate } from '../index.ts'
import { LocalFileSource, parseLocalFile } from './index.ts'
import { addressOf, FILE, workloads } from './local-file-fixture.ts'

void t.test('a file of Istio’s ztunnel is read, with its defaults', async (t) => {
  const [workload, policy, service] = parseLocalFile(FILE)
  t.match(workload, {
    kind: 'workload',
    value: {
      workloadIps: ['127.0.0.1', '10.0.0.1', 'fd00::1'],
      capacity: 3,
      status: 'Healthy',
      workloadType: 'deployment',
      applicationTunnel: { protocol: 'PROXY', port: 15_088 },
      waypoint: { destination: { kind: 'address', network: '', address: '10.0.0.9' }, hboneMtlsPort: 15_008 },
      services: { 'default/example.com': { 80: 8080 } },
    },
  })
  t.match(policy, {
    kind: 'policy',
    value: {
      scope: 'WorkloadSelector',
      action: 'Deny',
      rules: [
        [
          [
            {
              principals: [
                { kind: 'exact', value: 'cluster.local/ns/default/sa/a' },
                { kind: 'prefix', value: 'x' },
                { kind: 'suffix', value: 'y' },
                { kind: 'presence' },
              ],
              notSourceIps: [{ address: '10.0.0.0', length: 8 }],
              destinationPorts: [80],
            },
          ],
        ],
      ],
    },
  })
  t.match(service, {
    kind: 'service',
    value: {
      vips: [
        { network: '', address: '10.96.0.1' },
        { network: 'net', address: '10.96.0.2' },
      ],
      loadBalancer: { routingPreferences: ['Region', 'Zone'], mode: 'Failover', healthPolicy: 'OnlyHealthy' },
      waypoint: { destination: { kind: 'hostname', namespace: 'default', hostname: 'gw.example.com' } },
      visibility: 'Public',
    },
  })
  t.same(parseLocalFile(''), [])
  t.same(parseLocalFile('{}'), [])
  t.same(parseLocalFile('{}', { mayBeEmpty: false }), [])
  t.throws(
    () => parseLocalFile('# workloads: []', { mayBeEmpty: false }),
    { message: /says nothing/ },
    'nothing in place of something',
  )
})

void t.test('names made of digits stay what they are', async (t) => {
  const [workload, policy] = parseLocalFile(`
workloads: [{ name: 1.10, namespace: 007, workloadIps: [], services: {} }]
policies:
  - name: 1e3
    namespace: 0x1f
    scope: Global
    action: Deny
    dryRun: false
    rules: [[[{ namespaces: [{ Exact: 007 }, !Prefix 1.10], serviceAccounts: [{ namespace: 010, serviceAccount: 1e3 }] }]]]
`)
  t.match(workload, { value: { uid: '007/1.10', name: '1.10', namespace: '007' } })
  t.match(policy, {
    value: {
      name: '1e3',
      namespace: '0x1f',
      rules: [
        [
          [
            {
              namespaces: [
                { kind: 'exact', value: '007' },
                { kind: 'prefix', value: '1.10' },
              ],
              serviceAccounts: [{ namespace: '010', serviceAccount: '1e3' }],
            },
          ],
        ],
      ],
    },
  })
})

/** The file with one line in the place of another. */
function edited(before: string, after: string): () => unknown {
  if (!FILE.includes(before)) throw new Error(`not there: ${before}`)
  return () => parseLocalFile(FILE.replace(before, after))
}

void t.test('a mistake is told with line, place and what may stand there', async (t) => {
  t.throws(edited('protocol: HBONE', 'protocol: MTLS'), {
    message: /8:\d+ workloads\[0\]\.protocol: must be one of TCP, HBONE/,
  })
  t.throws(edited('"127.0.0.1"', '"127.0.0.256"'), {
    message: /workloads\[0\]\.workloadIps\[0\]: must be an IP address/,
  })
  t.throws(edited('    node: local', '    nodes: local'), {
    message: /workloads\[0\]\.nodes: unknown key; it may be one of uid, name/,
  })
  t.throws(edited('capacity: 3', 'capacity: -1'), { message: /must be a whole number from 0 to 4294967295/ })
  t.throws(edited('"default/example.com":', '"example.com":'), {
    message: /the name of a service is namespace\/hostname/,
  })
  t.throws(edited('!Prefix "x"', '!Regex "x"'), {
    message:
      /principals\[1\]: must be one of Exact, Prefix, Suffix, Presence, not Regex: write !Exact text or \{ Exact: text \}/,
  })
  t.throws(edited('{Suffix: "y"}', '{suffix: "y"}'), { message: /principals\[2\]: .*, not suffix: write/ })
  t.throws(edited('{Suffix: "y"}', '{Suffix: "y", Exact: x}'), {
    message: /principals\[2\]: .*, not Suffix and Exact:/,
  })
  t.throws(edited('"10.0.0.0/8"', '"10.0.0.0/99"'), { message: /must be an address range like 10\.0\.0\.0\/8/ })
  t.throws(edited('action: Deny', 'action: Audit'), { message: /must be one of/ })
  t.throws(edited('/10.96.0.1', '10.96.0.1'), { message: /network\/address, or \/address for the default network/ })
  t.throws(edited('    vips: [/10.96.0.1, net/10.96.0.2]\n', ''), { message: /services\[0\]\.vips: is required/ })
  t.throws(edited('name: example\n', 'name: example\n    name: twice\n'), { message: /unique/ })
  t.throws(() => parseLocalFile('a: &a [*a]'), { message: /1:8 the alias \*a names what it is in/ })
  t.throws(edited('80: 8080', '080: 8080'), { message: /the key must be a port from 0 to 65535/ })
  t.throws(() => parseLocalFile('workloads: 5'), { message: /1:12 workloads: must be a list/ })
})

/** A policy whose last line is about its rules. */
function policy(action: string, rules: string): () => readonly MeshResource[] {
  return () =>
    parseLocalFile(`policies:
  - name: p
    namespace: n
    scope: Global
    action: ${action}
    dryRun: false
${rules}`)
}

void t.test('a policy says its rules, and nothing in them is null', async (t) => {
  const wrong = (rules: string, message: RegExp): void => {
    for (const action of ['Allow', 'Deny']) t.throws(policy(action, rules), { message }, `${action} ${rules}`)
  }
  wrong('', /^2:5 policies\[0\]\.rules: is required \(a list, may be \[\]\)$/)
  wrong('    rules:', /^7:\d+ policies\[0\]\.rules: is required \(a list, may be \[\]\)$/)
  wrong('    rules: ~', /^7:12 policies\[0\]\.rules: is required/)
  wrong('    rules: [~]', /^7:13 policies\[0\]\.rules\[0\]: must not be null$/)
  wrong('    rules:\n    -', /^8:\d+ policies\[0\]\.rules\[0\]: must not be null$/)
  wrong('    rules: [[null]]', /^7:14 policies\[0\]\.rules\[0\]\[0\]: must not be null$/)
  wrong('    rules: [[[~]]]', /^7:15 policies\[0\]\.rules\[0\]\[0\]\[0\]: must not be null$/)
  wrong('    rules: [[[{ sourceIps: [~] }]]]', /^7:29 policies.*\.sourceIps\[0\]: must not be null$/)
  wrong('    rules: [[[{ namespaces: [null] }]]]', /namespaces\[0\]: must not be null$/)
  wrong('    rules: [[[{ namespaces: ~ }]]]', /^7:29 policies.*\.namespaces: must be a list$/)
  wrong('    rules: [[[{ namespaces: [{ Exact: ~ }] }]]]', /is required$/)
  wrong('    rules: [[[{ namespaces: [!Exact ~] }]]]', /^7:30 .*must be a text$/)
  wrong('    rules: [[[{ namespaces: [!Exact ] }]]]', /^7:\d+ .*must be a text$/)
  t.match(policy('Deny', '    rules: []')(), [{ value: { rules: [] } }], 'no rules are no rules')
  t.match(policy('Allow', '    rules: [[], [[]], [[{}]]]')(), [{ value: { rules: [[], [[]], [[{}]]] } }])
})

void t.test('all mistakes are told together, of very many the first ones', async (t) => {
  t.throws(edited('protocol: HBONE', 'protocol: A\n    status: B'), { message: /protocol: .*status: must/ })
  const many = `workloads: [${'{},'.repeat(500)}]`
  try {
    parseLocalFile(many)
    t.fail('read')
  } catch (error) {
    t.ok(error instanceof Error && error.message.length < 4_000, 'the message is bounded')
  }
})

function isWorkload({ kind, value }: MeshResource, index: number): boolean {
  return (
    kind === 'workload' &&
    value.uid === `cluster1//Pod/default/w${index}` &&
    value.workloadIps.join() === addressOf(index) &&
    value.services['default/server.default.svc.cluster.local']?.['80'] === 8080
  )
}

void t.test('a mesh of 100,000 workloads is read, and a mistake in its last line is found', async (t) => {
  const text = workloads(100_000)
  const resources = parseLocalFile(text)
  t.equal(resources.length, 100_000)
  t.ok(resources.every(isWorkload), 'each is what was written')
  t.throws(() => parseLocalFile(`${text}    colour: red\n`), {
    message: /^800002:5 workloads\[99999\]\.colour: unknown key; it may be one of uid,/,
  })
})

void t.test('a large file is read while the rest goes on; of a change only what differs is told', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-mesh-'))
  const path = join(directory, 'mesh.yaml')
  const errors: string[] = []
  const updates: MeshUpdate[] = []
  let hasTurned = false
  setImmediate(() => (hasTurned = true))
  const source = new LocalFileSource({
    from: { path },
    clock: systemClock,
    log: { ...silentLog, error: (_text: string, fields?: unknown) => errors.push(JSON.stringify(fields)) },
    maxReadingBytes: 2 ** 31,
    onUpdate: (update) => {
      t.ok(hasTurned, 'the event loop did not stand still')
      updates.push(update)
    },
  })
  const next = async (text: string, done: () => boolean): Promise<void> => {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
    for (let i = 0; i < 3_000 && !done(); i++) await setTimeout(10)
  }
  t.teardown(() => {
    source.stop()
    rmSync(directory, { recursive: true })
  })
  const text = workloads(6_000)
  writeFileSync(path, text)
  await source.start()
  t.ok(source.current.length === 6_000 && source.current.every(isWorkload), 'each is what was written')
  await next(`${text}    colour: red\n`, () => errors.length === 1)
  t.match(errors, [/mesh\.yaml.*48002:5 workloads\[5999\]\.colour: unknown key/])
  await next(`# workloads:${' '.repeat(2 ** 20)}`, () => errors.length === 2)
  t.match(errors[1], /says nothing/)
  const other = text.replace('name: w7\n', 'name: other\n').replace('Pod/default/w8\n', 'Pod/default/new\n')
  await next(other, () => updates.length === 2)
  t.equal(updates[0]?.upserts.length, 6_000)
  t.match(updates[1], {
    upserts: [{ value: { name: 'other' } }, { value: { uid: 'cluster1//Pod/default/new' } }],
    removals: ['workload/cluster1//Pod/default/w8'],
  })
  t.equal(updates[1]?.upserts.length, 2)
  const stopped = source.current
  await next('{}', () => updates.length === 3)
  t.same([updates[2]?.upserts.length, updates[2]?.removals.length], [0, stopped.length])
})

void t.test('a reading is stopped with its source', async (t) => {
  const source = new LocalFileSource({
    from: { inline: workloads(6_000) },
    clock: new FakeClock(),
    log: silentLog,
    maxReadingBytes: 2 ** 31,
    onUpdate: () => void t.fail('nobody is there for it'),
  })
  const started = source.start()
  source.stop()
  await t.rejects(started, { message: 'the reading was stopped' })
})

void t.test('a text in place of a file', async (t) => {
  const updates: MeshUpdate[] = []
  const source = new LocalFileSource({
    from: { inline: 'services: [{ name: a, namespace: n, hostname: h, vips: [], ports: {} }]' },
    clock: new FakeClock(),
    log: silentLog,
    maxReadingBytes: 2 ** 31,
    onUpdate: (update) => void updates.push(update),
  })
  await source.start()
  source.stop()
  t.equal(source.current.length, 1)
  t.match(updates, [{ upserts: [{ kind: 'service', value: { name: 'a' } }], removals: [] }])
})

void t.test('one resource cannot hide another, and names are such as an identity can have', async (t) => {
  const [deny, allow] = ['Deny', 'Allow'].map((action) => {
    return `  - { name: p, namespace: n, scope: Global, action: ${action}, dryRun: false, rules: [] }`
  })
  t.throws(() => parseLocalFile(`policies:\n${deny}\n${allow}`), {
    message: /3:5 policies\[1\]: another policy is n\/p already/,
  })
  for (const [field, text] of [
    ['namespace', '"a,b"'],
    ['serviceAccount', '"a b"'],
    ['trustDomain', '"bad domain"'],
  ] as const) {
    const others = field === 'namespace' ? '' : 'namespace: n, '
    const file = `workloads: [{ uid: u, ${others}${field}: ${text}, workloadIps: [], services: {} }]`
    t.throws(() => parseLocalFile(file), { message: new RegExp(`1:\\d+ workloads\\[0\\]\\.${field}: `) }, field)
  }
  t.match(parseLocalFile('workloads: [{ uid: u, namespace: n, serviceAccount: "", workloadIps: [], services: {} }]'), [
    { value: { serviceAccount: '', trustDomain: '' } },
  ])
})
