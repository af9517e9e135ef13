import { getFips } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from './config-error.ts'
import { describeVariables, readConfig } from './read-config.ts'
import { whyUnreadable } from './why-unreadable.ts'

const minimal = { XDS_ADDRESS: '', LOCAL_XDS_PATH: '/etc/mesh.yaml', LOCAL_PODS_PATH: '/etc/pods.yaml' }

const dedicated = { XDS_ADDRESS: '', LOCAL_XDS: '{}', PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'a/b/c' }

function problemsOf(values: Record<string, string>, why?: typeof whyUnreadable): readonly string[] {
  try {
    readConfig(values, why)
    return []
  } catch (error) {
    return error instanceof ConfigError ? error.problems : [`unexpected: ${String(error)}`]
  }
}

void t.test('the defaults are those of Istio’s ztunnel', async (t) => {
  const config = readConfig(minimal)
  t.equal(config.worker.mode, 'shared')
  t.equal(config.worker.packetMark, 1337)
  t.same(config.worker.keepAlive, { timeS: 180, intervalS: 180, retries: 9 })
  t.equal(config.worker.userTimeoutMs, undefined)
  t.equal(config.worker.poolMaxStreams, 100)
  t.equal(config.worker.poolIdleTimeoutMs, 300_000)
  t.same(config.worker.http2, {
    streamWindowBytes: 4_194_304,
    connectionWindowBytes: 16_777_216,
    frameBytes: 1_048_576,
  })
  t.equal(config.worker.originalSource, undefined)
  t.equal(config.worker.clusterId, 'Kubernetes')
  t.equal(config.workers, 1)
  t.equal(config.ca.address, 'https://localhost:15012')
  t.equal(config.ca.secretTtlMs, 86_400_000)
  t.equal(config.drainDeadlineMs, 5_000)
  t.equal(config.worker.trustDomain, 'cluster.local')
})

void t.test('every problem is reported, each with its variable', async (t) => {
  const problems = problemsOf({
    PROXY_MODE: 'sidecar',
    IPV6_ENABLED: 'yes',
    KEEPALIVE_TIME: 'soon',
    POOL_MAX_STREAMS_PER_CONNECTION: '0',
    CA_ADDRESS: 'http://ca:15012',
    ZTUNNEL_WORKER_THREADS: 'many',
    PACKET_MARK: 'blue',
    ENABLE_ORIG_SRC: '1',
    XDS_ADDRESS: 'https://istiod:15012',
    COMPLIANCE_POLICY: 'pcq',
  })
  for (const name of [
    'PROXY_MODE',
    'COMPLIANCE_POLICY',
    'IPV6_ENABLED',
    'KEEPALIVE_TIME',
    'POOL_MAX_STREAMS_PER_CONNECTION',
    'CA_ADDRESS',
    'ZTUNNEL_WORKER_THREADS',
    'PACKET_MARK',
    'ENABLE_ORIG_SRC',
    'XDS_ADDRESS',
    'LOCAL_XDS_PATH',
    'LOCAL_PODS_PATH',
  ]) {
    t.ok(
      problems.some((sentence) => sentence.includes(name)),
      `${name} is named`,
    )
  }
})

void t.test('in dedicated mode the client’s address is kept only where that is said', async (t) => {
  const dedicated = { ...minimal, PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'default/alone/alone' }
  t.equal(readConfig(dedicated).worker.originalSource, false)
  t.equal(readConfig({ ...dedicated, ENABLE_ORIG_SRC: '' }).worker.originalSource, false)
  t.equal(readConfig({ ...dedicated, ENABLE_ORIG_SRC: 'true' }).worker.originalSource, true)
})

void t.test('what cannot stand in an identity is refused', async (t) => {
  const problems = problemsOf({
    ...minimal,
    TRUST_DOMAIN: 'a,b',
    PROXY_MODE: 'dedicated',
    PROXY_WORKLOAD_INFO: 'bad ns/name/s"x',
  })
  t.equal(problems.length, 3)
  t.match(problems.join('\n'), /TRUST_DOMAIN="a,b" is refused: "a,b" is no trust domain: use/)
  t.match(problems.join('\n'), /PROXY_WORKLOAD_INFO=.* is refused: "bad ns" cannot stand in an identity/)
  t.match(problems.join('\n'), /PROXY_WORKLOAD_INFO=.* is refused: "s\\"x" cannot stand in an identity/)
  t.equal(readConfig({ ...minimal, TRUST_DOMAIN: '' }).worker.trustDomain, 'cluster.local')
})

void t.test('a mark that the redirection rules cannot tell from others is refused', async (t) => {
  for (const mark of ['0', '-1', '1.5', '4096', '5433', '0x1539', '4294967295', '273', '0x111', '0x1111'])
    t.match(problemsOf({ ...minimal, PACKET_MARK: mark }), [/^PACKET_MARK=.* from 1 to 4095, .* not 273/], mark)
  for (const mark of ['1', '4095', '0x539', '272'])
    t.equal(readConfig({ ...minimal, PACKET_MARK: mark }).worker.packetMark, Number(mark))
})

void t.test('what would be refused later is refused here', async (t) => {
  const problems = problemsOf({
    ...minimal,
    RUST_LOG: 'loud',
    CA_HEADER_XYZ: 'secré',
    'CA_HEADER_a b': 'x',
    'CA_HEADER_x-bin': 'x',
    SECRET_TTL: '0',
    KEEPALIVE_TIME: '32768s',
    KEEPALIVE_INTERVAL: '0',
    KEEPALIVE_RETRIES: '128',
  })
  for (const pattern of [
    /^RUST_LOG="loud" is refused: "loud" is none of off, error/,
    /^CA_HEADER_XYZ cannot be sent as gRPC metadata/,
    /^CA_HEADER_a b cannot be sent/,
    /^CA_HEADER_x-bin cannot be sent/,
    /^SECRET_TTL="0" must be a duration of at least 1s$/,
    /^KEEPALIVE_TIME="32768s" must be a duration of at least 1ms and at most 32767s$/,
    /^KEEPALIVE_INTERVAL="0" must be/,
    /^KEEPALIVE_RETRIES="128" must be/,
  ])
    t.ok(
      problems.some((sentence) => pattern.test(sentence)),
      String(pattern),
    )
  t.equal(problems.length, 8)
  t.notMatch(problems.join(), 'secr', 'a header may be a secret')
  const longest = { ...minimal, KEEPALIVE_TIME: '32767s', KEEPALIVE_INTERVAL: '32767s', KEEPALIVE_RETRIES: '127' }
  t.same(readConfig({ ...longest, RUST_LOG: 'access=debug', CA_HEADER_XYZ: 'x' }).worker.keepAlive, {
    timeS: 32_767,
    intervalS: 32_767,
    retries: 127,
  })
  t.match(problemsOf({ ...longest, USER_TIMEOUT_ENABLED: 'true' }), [/^USER_TIMEOUT_ENABLED: .* 4194176 s, more than/])
})

function warningsOf(level: string): string {
  return readConfig({ ...dedicated, RUST_LOG: level }).warnings.join()
}

void t.test('a log level for what nothing logs as is warned about', async (t) => {
  t.match(warningsOf('acess=debug'), /RUST_LOG: nothing logs as acess; targets are access, ztunnel, ztunnel::crl/)
  for (const level of ['off', 'access=debug,ztunnel::state=trace,ztunnel=warn'])
    t.notMatch(warningsOf(level), 'RUST_LOG')
})

void t.test('files that cannot be read are told together, with their variables', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-config-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [file, missing, nowhere] = [join(directory, 'file'), join(directory, 'missing'), join(directory, 'no', 'where')]
  writeFileSync(file, '')
  const others = { XDS_ADDRESS: '', AMBIT_HOST_NETNS: 'none' }
  t.strictSame(
    problemsOf(
      { ...others, LOCAL_XDS_PATH: missing, LOCAL_PODS_PATH: nowhere, CRL_PATH: nowhere, AMBIT_HOST_NETNS: missing },
      whyUnreadable,
    ),
    [
      `LOCAL_XDS_PATH="${missing}" cannot be read: there is no such file`,
      `LOCAL_PODS_PATH="${nowhere}" cannot be read: there is no directory ${directory}/no`,
      `AMBIT_HOST_NETNS="${missing}" cannot be read: there is no such file`,
      `CRL_PATH="${nowhere}" cannot be read: there is no directory ${directory}/no`,
    ],
  )
  t.match(problemsOf({ ...others, LOCAL_XDS_PATH: directory, LOCAL_PODS_PATH: file }, whyUnreadable), [
    /^LOCAL_XDS_PATH=.* it is a directory$/,
  ])
  t.match(problemsOf({ ...others, LOCAL_XDS_PATH: file, LOCAL_PODS_PATH: '/dev/zero' }, whyUnreadable), [
    /^LOCAL_PODS_PATH=.* it is no regular file$/,
  ])
  t.strictSame(
    problemsOf({ ...others, LOCAL_XDS_PATH: file, LOCAL_PODS_PATH: file, CRL_PATH: missing }, whyUnreadable),
    [],
  )
})

void t.test('durations, grace periods and worker counts', async (t) => {
  t.equal(readConfig({ ...minimal, POOL_UNUSED_RELEASE_TIMEOUT: '1m30s' }).worker.poolIdleTimeoutMs, 90_000)
  t.equal(readConfig({ ...minimal, POOL_UNUSED_RELEASE_TIMEOUT: '500ms' }).worker.poolIdleTimeoutMs, 500)
  t.equal(readConfig({ ...minimal, SECRET_TTL: '3600' }).ca.secretTtlMs, 3_600_000)
  t.equal(readConfig({ ...minimal, TERMINATION_GRACE_PERIOD_SECONDS: '30' }).drainDeadlineMs, 25_000)
  t.equal(readConfig({ ...minimal, TERMINATION_GRACE_PERIOD_SECONDS: '10' }).drainDeadlineMs, 9_000)
  t.equal(readConfig({ ...minimal, TERMINATION_GRACE_PERIOD_SECONDS: '1' }).drainDeadlineMs, 1_000)
  t.equal(
    readConfig({ ...minimal, TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '2s' })
      .drainDeadlineMs,
    2_000,
  )
  t.equal(readConfig({ ...minimal, ZTUNNEL_WORKER_THREADS: '3' }).workers, 3)
  const shared = { ...minimal, ZTUNNEL_WORKER_THREADS: '4', AMBIT_HELD_MEMORY_SIZE: '8388608' }
  t.equal(readConfig(shared).worker.maxHeldMemoryBytes, 2_097_152, 'workers share what may be held')
  t.ok(readConfig({ ...minimal, ZTUNNEL_WORKER_THREADS: '1%' }).workers === 1)
  for (const text of ['101%', '65', '-1', '1.5', '5%%'])
    t.match(problemsOf({ ...minimal, ZTUNNEL_WORKER_THREADS: text }), [/ZTUNNEL_WORKER_THREADS/], text)
  for (const text of ['0', '100%']) {
    const { workers } = readConfig({ ...minimal, ZTUNNEL_WORKER_THREADS: text })
    t.equal(workers, Math.min(availableParallelism(), 64), text)
  }
  t.ok(readConfig({ ...minimal, ZTUNNEL_WORKER_THREADS: '0' }).workers >= 1)
  t.equal(
    readConfig({
      ...minimal,
      USER_TIMEOUT_ENABLED: 'true',
      KEEPALIVE_TIME: '10s',
      KEEPALIVE_INTERVAL: '5s',
      KEEPALIVE_RETRIES: '2',
    }).worker.userTimeoutMs,
    20_000,
  )
})

void t.test('dedicated mode wants to know its workload and needs no pods file', async (t) => {
  const dedicated = { XDS_ADDRESS: '', LOCAL_XDS: 'workloads: []', PROXY_MODE: 'dedicated' }
  t.match(problemsOf(dedicated)[0], /PROXY_WORKLOAD_INFO/)
  const config = readConfig({ ...dedicated, PROXY_WORKLOAD_INFO: 'default/local/sa' })
  t.same(config.dedicatedPod, { name: 'local', namespace: 'default', serviceAccount: 'sa' })
  t.equal(config.worker.packetMark, undefined)
  t.match(problemsOf({ ...minimal, LOCAL_XDS: 'x' })[0], /both set/)
})

void t.test('the help describes every variable once, without problems', async (t) => {
  const names = describeVariables().map((variable) => variable.name)
  t.equal(new Set(names).size, names.length)
  t.ok(names.includes('CA_ADDRESS') && names.includes('CA_HEADER_*'))
})

function problemsOfToken(value: string): readonly string[] {
  return problemsOf({ ...dedicated, AUTH_TOKEN: value }, whyUnreadable)
}

void t.test('a token that is a path which leads nowhere is not sent as a token', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-config-'))
  const path = join(directory, 'token')
  t.match(problemsOfToken(path).join(), /AUTH_TOKEN=.* cannot be read: there is no such file/)
  t.same(problemsOfToken('eyJhbGciOiJub25lIn0.e30.c2ln'), [])
  writeFileSync(path, 'secret')
  t.same(problemsOfToken(path), [])
  t.match(problemsOfToken(directory), [/^AUTH_TOKEN=.* cannot be read: it is a directory$/])
  rmSync(directory, { recursive: true })
})

void t.test('a variable that has no effect in the mode is warned about', async (t) => {
  const own = { AUTH_TOKEN: '/token', LOCAL_PODS_PATH: '' }
  const ofShared = { LOCAL_PODS_PATH: '/etc/pods.yaml', AMBIT_HOST_NETNS: '/run/netns/x', AMBIT_DRIFT_INTERVAL: '3s' }
  const config = readConfig({ ...dedicated, ...own, ...ofShared })
  t.same(
    config.warnings,
    Object.keys(ofShared).map((name) => `${name} is for shared mode: it has no effect when PROXY_MODE=dedicated`),
  )
  t.equal(config.localPodsPath, undefined)
  t.same(readConfig({ ...dedicated, ...own }).warnings, [])
  t.same(readConfig({ ...minimal, ...ofShared, AUTH_TOKEN: '/token' }).warnings, [])
  t.same(readConfig({ ...minimal, AUTH_TOKEN: '/token', PROXY_WORKLOAD_INFO: 'a/b/c' }).warnings, [
    'PROXY_WORKLOAD_INFO is for dedicated mode: it has no effect when PROXY_MODE=shared',
  ])
})

/** The policy, and of how much is warned. */
function compliance(text: string): readonly unknown[] {
  const { worker, warnings } = readConfig({ ...minimal, AUTH_TOKEN: '/token', COMPLIANCE_POLICY: text })
  return [worker.compliance, warnings.length]
}

void t.test('the compliance policies are Istio’s', async (t) => {
  t.same(compliance(''), ['none', 0])
  t.same(compliance('pqc'), ['pqc', 0])
  // That OpenSSL is not in FIPS mode, as that of Node’s own builds.
  for (const policy of ['fips-140-2', 'fips-140-3']) t.same(compliance(policy), ['fips', 1 - getFips()])
  for (const policy of ['fips', 'PQC', 'pcq'])
    t.match(problemsOf({ ...minimal, COMPLIANCE_POLICY: policy })[0], /COMPLIANCE_POLICY=.* must be pqc, fips-140-2/)
})

void t.test('what Istio’s variables ask for in vain is warned about', async (t) => {
  const given = { ...minimal, AUTH_TOKEN: '/token', ENABLE_PROXY: 'true', FAKE_CA: 'true', PROXY_CONFIG: '{}' }
  t.same(readConfig(given).warnings, [
    'FAKE_CA=true has no effect in this version',
    'PROXY_CONFIG has no effect in this version',
  ])
})

void t.test('a variable of ours that nothing reads is warned about', async (t) => {
  const { warnings } = readConfig({ ...minimal, AUTH_TOKEN: '/token', AMBIT_DRIFT_INTERVALL: '3', AMBIT_IO: 'stream' })
  t.match(warnings, [
    /^nothing reads AMBIT_DRIFT_INTERVALL; of AMBIT_\* there are AMBIT_WORKER_IN_PROCESS, .*_INTERVAL\b/,
  ])
  const ofOthers = ['IN_USER_NAMESPACE', 'WITHOUT_NAMESPACES', 'TEST_RUN', 'CA_SERVICE_HOST', 'CA_PORT_15012_TCP_ADDR']
  const values = Object.fromEntries(ofOthers.map((name) => [`AMBIT_${name}`, '1']))
  t.same(readConfig({ ...minimal, ...values, AUTH_TOKEN: '/token' }).warnings, [])
})

void t.test('a token that may not be the one that is meant is warned about, without its text', async (t) => {
  // No file has so long a name, whatever the working directory holds.
  t.strictSame(readConfig({ ...dedicated, AUTH_TOKEN: 't'.repeat(256) }).warnings, [
    'AUTH_TOKEN is no file, its text is used as the token',
  ])
  t.match(readConfig(dedicated).warnings, [/^no token: AUTH_TOKEN is not set and \S*\/istio-token does not exist/])
  const directory = mkdtempSync(join(tmpdir(), 'ambit-config-'))
  writeFileSync(join(directory, 'token'), 'secret')
  t.strictSame(readConfig({ ...dedicated, AUTH_TOKEN: join(directory, 'token') }).warnings, [])
  rmSync(directory, { recursive: true })
})
