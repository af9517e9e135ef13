import { getFips } from 'node:crypto'
import type { CompliancePolicy } from '@ambit/shared/certificates'
import { MAX_HELD_MEMORY_BYTES } from '@ambit/shared/hbone'
import { parseTrustDomain } from '@ambit/shared/identity'
import { LogLevels } from '@ambit/shared/telemetry'
import { LOG_TARGETS } from '../log-targets.ts'
import { CONNECTION_MARK, MARK_MASK } from '../linux/in-pod-rules.ts'
import { availableMemory } from './available-memory.ts'
import type { Marking, WorkerConfig } from './config.ts'
import type { Environment } from './environment.ts'
import { accepted, problem } from './problem.ts'
import { readUserTimeout } from './read-keep-alive.ts'

/** Istio's. */
const DEFAULT_MARK = 1_337

/** What the data workers are told. */
export function readWorker(
  env: Environment,
  mode: WorkerConfig['mode'],
  keepAlive: WorkerConfig['keepAlive'],
  workers: number,
): WorkerConfig {
  return {
    network: env.text('NETWORK', '', 'network of this node'),
    nodeName: env.optional('NODE_NAME', 'name of this node; only its workloads are served') || undefined,
    clusterId: readClusterId(env),
    trustDomain: env.parsed(
      'TRUST_DOMAIN',
      'cluster.local',
      'trust domain of the identities that the local file leaves open',
      accepted(parseTrustDomain),
    ),
    ...readMarking(env, mode),
    originalSource: readOriginalSource(env, mode),
    ipv6Enabled: env.boolean('IPV6_ENABLED', true, 'listen on IPv6 as well, and ask for IPv6 addresses of names'),
    keepAlive,
    userTimeoutMs: readUserTimeout(env, keepAlive),
    poolMaxStreams: env.integer(
      'POOL_MAX_STREAMS_PER_CONNECTION',
      100,
      { min: 1, max: 65_535 },
      'streams on one pooled HBONE connection',
    ),
    poolIdleTimeoutMs: env.durationMs(
      'POOL_UNUSED_RELEASE_TIMEOUT',
      '5m',
      'an unused pooled connection is closed after this',
    ),
    http2: readHttp2(env),
    maxHeldMemoryBytes: readHeldMemory(env, workers),
    localhostAppTunnel: env.boolean('LOCALHOST_APP_TUNNEL', true, 'reach a PROXY-protocol app tunnel over loopback'),
    responseBaggage: env.boolean(
      'ENABLE_RESPONSE_BAGGAGE',
      true,
      'heed the baggage that clients send, and answer with that of the server',
    ),
    policyInfoLogging: env.boolean('AUTHZ_POLICY_INFO_LOGGING', false, 'log policy decisions at info instead of debug'),
    compliance: readCompliance(env),
    io: env.oneOf(
      'AMBIT_IO',
      'handle',
      ['handle', 'stream'],
      'byte path: handle (native handles, where the self-test passes) or stream (public API, slower)',
    ),
    logFormat: env.oneOf('LOG_FORMAT', 'plain', ['plain', 'json'], 'format of log lines: plain or json'),
    logLevel: readLogLevel(env),
  }
}

/** Istio's values. Its ztunnel passes over those of FIPS, for which there is a build of its own, and over any other text. */
function readCompliance(env: Environment): CompliancePolicy {
  const policy = env.parsed<CompliancePolicy>(
    'COMPLIANCE_POLICY',
    '',
    'pqc: X25519MLKEM768 only; fips-140-2 or fips-140-3: P-256 and P-384 only',
    (text) => {
      if (text === '') return 'none'
      if (text === 'pqc') return 'pqc'
      return text === 'fips-140-2' || text === 'fips-140-3'
        ? 'fips'
        : problem('must be pqc, fips-140-2, fips-140-3 or empty')
    },
  )
  if (policy === 'fips' && getFips() !== 1)
    env.warn(
      'COMPLIANCE_POLICY: only approved algorithms are used, but by an OpenSSL that is not in FIPS mode: that takes a Node with a validated module, and its --enable-fips',
    )
  return policy
}

function readLogLevel(env: Environment): string {
  const levels = env.parsed(
    'RUST_LOG',
    'info',
    `log level: off, error, warn, info, debug, trace, or target=level, comma separated; targets: ${LOG_TARGETS.join(', ')}`,
    accepted((text) => new LogLevels(text)),
  )
  const note = levels.noteOn(LOG_TARGETS)
  if (note !== undefined) env.warn(`RUST_LOG: ${note}`)
  return levels.toString()
}

function readClusterId(env: Environment): string {
  const preferred = env.optional('ISTIO_META_CLUSTER_ID', 'id of this cluster, as sent to the CA')
  const plain = env.text('CLUSTER_ID', 'Kubernetes', 'the same, when ISTIO_META_CLUSTER_ID is not set')
  return preferred || plain
}

function readMarking(env: Environment, mode: WorkerConfig['mode']): Marking {
  const packetMark = readMark(env)
  return mode === 'shared' ? { mode, packetMark: packetMark ?? DEFAULT_MARK } : { mode, packetMark }
}

function readMark(env: Environment): number | undefined {
  const text = env.optional(
    'PACKET_MARK',
    'SO_MARK of sockets in pods; must match the redirection rules: 1 to 4095, not 273',
    `${DEFAULT_MARK} in shared mode`,
  )
  if (!text) return undefined
  const mark = Number(text)
  if (Number.isInteger(mark) && mark >= 1 && mark <= MARK_MASK && mark !== CONNECTION_MARK) return mark
  env.report(
    `PACKET_MARK="${text}" must be a whole number from 1 to ${MARK_MASK}, for the redirection rules compare 12 bits, and not ${CONNECTION_MARK}, which they set themselves`,
  )
  return undefined
}

/**
 * Istio's ztunnel asks in dedicated mode too whether the kernel permits it. But that answers only half of it: without rules that
 * route the application's answers back, no inbound connection is carried, and in this mode the rules are not ours.
 */
function readOriginalSource(env: Environment, mode: WorkerConfig['mode']): boolean | undefined {
  const text = env.optional(
    'ENABLE_ORIG_SRC',
    'dial the application from the client address: true, false, or unset for where possible',
    'false in dedicated mode',
  )
  if (text === undefined || text === '') return mode === 'dedicated' ? false : undefined
  if (text !== 'true' && text !== 'false') env.report(`ENABLE_ORIG_SRC="${text}" must be true or false`)
  return text === 'true'
}

/** `auto` is no more than half of what the container, or the machine, has: the kernel ends whoever has none left. */
function readHeldMemory(env: Environment, workers: number): number {
  const bytes = env.parsed(
    'AMBIT_HELD_MEMORY_SIZE',
    'auto',
    'what all workers together hold for applications and peers that do not read, in bytes; beyond it tunnels are reset; auto: 1 GiB, or half of the memory there is where that is less',
    (text) => {
      if (text === 'auto') return Math.min(MAX_HELD_MEMORY_BYTES, Math.floor(availableMemory() / 2))
      return /^\d{7,12}$/.test(text) ? Number(text) : problem('must be a number of bytes, a million at least, or auto')
    },
  )
  return Math.ceil(bytes / workers)
}

function readHttp2(env: Environment): WorkerConfig['http2'] {
  return {
    streamWindowBytes: env.integer(
      'HTTP2_STREAM_WINDOW_SIZE',
      4_194_304,
      { min: 65_535, max: 0x7fff_ffff },
      'flow-control window of a stream',
    ),
    connectionWindowBytes: env.integer(
      'HTTP2_CONNECTION_WINDOW_SIZE',
      16_777_216,
      { min: 65_535, max: 0x7fff_ffff },
      'flow-control window of a connection',
    ),
    frameBytes: env.integer(
      'HTTP2_FRAME_SIZE',
      1_048_576,
      { min: 16_384, max: 16_777_215 },
      'largest frame that we accept',
    ),
  }
}
