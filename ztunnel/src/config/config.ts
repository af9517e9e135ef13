import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseIdentityPart, parseTrustDomain } from '@ambit/shared/identity'
import { isCaHeader } from '@ambit/shared/ca/client'
import { LogLevels } from '@ambit/shared/telemetry'
import { CONNECTION_MARK, MARK_MASK } from '../linux/in-pod-rules.ts'
import { accepted, Environment, Problem, problem, type Variable, type WhyUnreadable } from './environment.ts'

/** Who a pod is; with PROXY_MODE=dedicated the one pod that the proxy serves. */
export interface PodIdentity {
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
}

/** What a worker process needs: plain data, sent to it at start. */
export interface WorkerConfig {
  readonly mode: 'shared' | 'dedicated'
  readonly network: string
  readonly nodeName: string | undefined
  readonly clusterId: string
  /** Of the identities of pods whose mesh record names none. */
  readonly trustDomain: string
  /** SO_MARK of every socket made in a pod's namespace, with FOREIGN_SOURCE beside it on some; undefined leaves it unset. */
  readonly packetMark: number | undefined
  /** true: must work; false: off; undefined: on where the kernel permits it (Istio's ENABLE_ORIG_SRC). */
  readonly originalSource: boolean | undefined
  readonly ipv6Enabled: boolean
  readonly keepAlive: { readonly timeS: number; readonly intervalS: number; readonly retries: number } | undefined
  readonly userTimeoutMs: number | undefined
  readonly poolMaxStreams: number
  readonly poolIdleTimeoutMs: number
  readonly http2: {
    readonly streamWindowBytes: number
    readonly connectionWindowBytes: number
    readonly frameBytes: number
  }
  readonly localhostAppTunnel: boolean
  readonly responseBaggage: boolean
  readonly policyInfoLogging: boolean
  readonly postQuantumOnly: boolean
  /** The byte path: Node's native handles where they prove themselves, or its public API. */
  readonly io: 'handle' | 'stream'
  readonly logFormat: 'plain' | 'json'
  readonly logLevel: string
}

export interface ZtunnelConfig {
  readonly worker: WorkerConfig
  readonly workers: number
  /** For profilers and debuggers: control and data in one process. */
  readonly workerInProcess: boolean
  readonly dedicatedPod: PodIdentity | undefined
  readonly localMesh: { readonly path: string } | { readonly inline: string }
  readonly localPodsPath: string | undefined
  readonly ca: {
    readonly address: string
    readonly roots: string
    readonly alternativeHostname: string | undefined
    readonly token: { readonly path: string } | { readonly value: string } | undefined
    readonly headers: Readonly<Record<string, string>>
    readonly secretTtlMs: number
  }
  readonly portReuse: boolean
  readonly drainDeadlineMs: number
  readonly crlPath: string | undefined
  /** Path of the node's network namespace, for the rules that let its probes pass; undefined leaves probes alone. */
  readonly hostNamespace: string | undefined
  /** How often the redirection of the pods is checked; 0: never. */
  readonly driftIntervalMs: number
  readonly istioVersion: string
}

const DEFAULT_TOKEN_PATH = './var/run/secrets/tokens/istio-token'
const DEFAULT_ROOT_PATH = './var/run/secrets/istio/root-cert.pem'

/**
 * Reads Istio's variables where one exists. Throws ConfigError that lists every problem, with `whyUnreadable` also that a
 * file cannot be read. The result is frozen.
 */
export function readConfig(
  values: Readonly<Record<string, string | undefined>>,
  whyUnreadable?: WhyUnreadable,
): ZtunnelConfig {
  const environment = new Environment(values, whyUnreadable && { whyUnreadable })
  const config = read(environment)
  environment.finish()
  return Object.freeze(config)
}

/** The variables with default and meaning, in the order of reading, for `--help`. */
export function describeVariables(): readonly Variable[] {
  const environment = new Environment({}, { describing: true })
  read(environment)
  return environment.variables
}

function read(env: Environment): ZtunnelConfig {
  const mode = env.oneOf(
    'PROXY_MODE',
    'shared',
    ['shared', 'dedicated'],
    'shared: the pods of a node; dedicated: one workload in the namespace of this process',
  )
  const dedicatedPod = readDedicatedPod(env, mode)
  const keepAlive = readKeepAlive(env)
  return {
    ...readWorkers(env),
    dedicatedPod,
    localMesh: readLocalMesh(env),
    localPodsPath: readPodsPath(env, mode),
    ca: readCa(env),
    portReuse: env.boolean(
      'INPOD_PORT_REUSE',
      true,
      'SO_REUSEPORT on the listeners in pods, so that a second ztunnel can take over',
    ),
    drainDeadlineMs: readDrainDeadline(env),
    hostNamespace: readHostNamespace(env, mode),
    driftIntervalMs: env.durationMs(
      'AMBIT_DRIFT_INTERVAL',
      '30s',
      'how often the redirection in the pods is checked and mended; 0s: never',
    ),
    crlPath: env.file('CRL_PATH', 'certificate revocation list, PEM or DER; watched', { mayComeLater: true }),
    istioVersion: env.text('ISTIO_META_ISTIO_VERSION', 'unknown', 'tag of the metric istio_build'),
    worker: {
      mode,
      network: env.text('NETWORK', '', 'network of this node'),
      nodeName: env.optional('NODE_NAME', 'name of this node; only its workloads are served') || undefined,
      clusterId: readClusterId(env),
      trustDomain: env.parsed(
        'TRUST_DOMAIN',
        'cluster.local',
        'trust domain of the identities that the local file leaves open',
        accepted(parseTrustDomain),
      ),
      packetMark: readMark(env, mode),
      originalSource: readOriginalSource(env),
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
      http2: {
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
      },
      localhostAppTunnel: env.boolean('LOCALHOST_APP_TUNNEL', true, 'reach a PROXY-protocol app tunnel over loopback'),
      responseBaggage: env.boolean('ENABLE_RESPONSE_BAGGAGE', true, 'exchange baggage headers in requests and answers'),
      policyInfoLogging: env.boolean(
        'AUTHZ_POLICY_INFO_LOGGING',
        false,
        'log policy decisions at info instead of debug',
      ),
      postQuantumOnly: env.parsed('COMPLIANCE_POLICY', '', 'pqc: accept X25519MLKEM768 only', (text) =>
        text === '' || text === 'pqc' ? text === 'pqc' : problem('must be pqc, or empty: no other is kept here'),
      ),
      io: env.oneOf(
        'AMBIT_IO',
        'handle',
        ['handle', 'stream'],
        'byte path: handle (native handles, where the self-test passes) or stream (public API, slower)',
      ),
      logFormat: env.oneOf('LOG_FORMAT', 'plain', ['plain', 'json'], 'format of log lines'),
      logLevel: env.parsed(
        'RUST_LOG',
        'info',
        'log level: error, warn, info, debug, or target=level, comma separated',
        accepted((text) => new LogLevels(text).toString()),
      ),
    },
  }
}

function readDedicatedPod(env: Environment, mode: string): PodIdentity | undefined {
  const text = env.optional('PROXY_WORKLOAD_INFO', 'dedicated mode: namespace/name/service-account of the workload')
  if (mode !== 'dedicated') return undefined
  const [namespace, name, serviceAccount, ...rest] = (text ?? '').split('/')
  if (!namespace || !name || !serviceAccount || rest.length > 0) {
    env.report('PROXY_WORKLOAD_INFO must be namespace/name/service-account when PROXY_MODE=dedicated')
    return undefined
  }
  for (const part of [namespace, serviceAccount]) {
    const parsed = accepted(parseIdentityPart)(part)
    if (parsed instanceof Problem) env.report(`PROXY_WORKLOAD_INFO="${text}" ${parsed.sentence}`)
  }
  return { name, namespace, serviceAccount }
}

function readLocalMesh(env: Environment): ZtunnelConfig['localMesh'] {
  const xds = env.optional('XDS_ADDRESS', 'must be empty: this version reads the mesh from a local file only')
  const path = env.file('LOCAL_XDS_PATH', 'file with workloads, services and policies; reloaded when it changes')
  const inline = env.optional('LOCAL_XDS', 'the same as text')
  if (xds)
    env.report(
      `XDS_ADDRESS="${xds}": discovery over xDS is not in this version; set it to nothing and use LOCAL_XDS_PATH`,
    )
  if (path && inline) env.report('LOCAL_XDS_PATH and LOCAL_XDS are both set: set one')
  if (!path && !inline)
    env.report('set LOCAL_XDS_PATH (a file) or LOCAL_XDS (its text): without it the mesh is unknown')
  return path ? { path } : { inline: inline ?? '' }
}

function readPodsPath(env: Environment, mode: string): string | undefined {
  const path = env.optional(
    'LOCAL_PODS_PATH',
    'shared mode: file that names the pods of this node and their network namespaces; reloaded when it changes',
  )
  if (mode === 'shared') env.checkFile('LOCAL_PODS_PATH', path || undefined)
  if (mode === 'shared' && !path) env.report('set LOCAL_PODS_PATH: in shared mode it names the pods to capture')
  return path || undefined
}

function readHostNamespace(env: Environment, mode: string): string | undefined {
  const path = env.text(
    'AMBIT_HOST_NETNS',
    '/proc/self/ns/net',
    'shared mode: network namespace of the node, whose own processes (kubelet probes) reach pods past the proxy; none: leave probes alone',
  )
  if (mode !== 'shared' || path === 'none') return undefined
  if (!path.startsWith('/')) env.report(`AMBIT_HOST_NETNS="${path}" must be an absolute path, or none`)
  else env.checkFile('AMBIT_HOST_NETNS', path)
  return path
}

function readCa(env: Environment): ZtunnelConfig['ca'] {
  const address = env.parsed('CA_ADDRESS', 'https://localhost:15012', 'the certificate authority', parseHttpsAddress)
  const token = env.optional('AUTH_TOKEN', 'path of the bearer token, or the token itself', DEFAULT_TOKEN_PATH)
  return {
    address,
    roots: env.text(
      'CA_ROOT_CA',
      DEFAULT_ROOT_PATH,
      'roots that the CA server is verified with: a path, SYSTEM, or PEM text',
    ),
    alternativeHostname: env.optional('ALT_CA_HOSTNAME', 'another name that the CA server may have') || undefined,
    token: readToken(env, token),
    headers: env.prefixed('CA_HEADER_', 'further gRPC metadata for the CA', {
      isGood: isCaHeader,
      wanted:
        'cannot be sent as gRPC metadata: a name has letters, digits and . - _ and does not end in -bin, a value is printable ASCII',
    }),
    // A request says how many seconds.
    secretTtlMs: env.durationMs('SECRET_TTL', '24h', 'lifetime asked for certificates', { min: '1s' }),
  }
}

function readToken(env: Environment, token: string | undefined): ZtunnelConfig['ca']['token'] {
  if (token) {
    if (existsSync(token)) return { path: token }
    // No token has a slash (RFC 7519, RFC 4648 §5), so it is a path that leads nowhere.
    if (token.includes('/')) env.checkFile('AUTH_TOKEN', token)
    return { value: token }
  }
  return existsSync(DEFAULT_TOKEN_PATH) ? { path: DEFAULT_TOKEN_PATH } : undefined
}

function parseHttpsAddress(text: string): string | Problem {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (!url || url.protocol !== 'https:' || !url.hostname) return problem('must be https://host:port')
  return url.port ? `https://${url.hostname}:${url.port}` : `https://${url.hostname}:443`
}

function readClusterId(env: Environment): string {
  const preferred = env.optional('ISTIO_META_CLUSTER_ID', 'id of this cluster, as sent to the CA')
  const plain = env.text('CLUSTER_ID', 'Kubernetes', 'the same, when ISTIO_META_CLUSTER_ID is not set')
  return preferred || plain
}

function readMark(env: Environment, mode: string): number | undefined {
  const text = env.optional(
    'PACKET_MARK',
    'SO_MARK of sockets in pods; must match the redirection rules: 1 to 4095, not 273',
    '1337 in shared mode',
  )
  if (!text) return mode === 'shared' ? 1337 : undefined
  const mark = Number(text)
  if (Number.isInteger(mark) && mark >= 1 && mark <= MARK_MASK && mark !== CONNECTION_MARK) return mark
  env.report(
    `PACKET_MARK="${text}" must be a whole number from 1 to ${MARK_MASK}, for the redirection rules compare 12 bits, and not ${CONNECTION_MARK}, which they set themselves`,
  )
  return undefined
}

function readOriginalSource(env: Environment): boolean | undefined {
  const text = env.optional(
    'ENABLE_ORIG_SRC',
    'dial the application from the client address: true, false, or unset for where possible',
  )
  if (text === undefined || text === '') return undefined
  if (text !== 'true' && text !== 'false') env.report(`ENABLE_ORIG_SRC="${text}" must be true or false`)
  return text === 'true'
}

/** Whole seconds; what Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL (tcp(7), MAX_TCP_KEEPIDLE). */
const KEEPALIVE_RANGE = { min: '1ms', max: '32767s' }
/** TCP_USER_TIMEOUT is an int. */
const MAX_USER_TIMEOUT_MS = 0x7fff_ffff

function readKeepAlive(env: Environment): WorkerConfig['keepAlive'] {
  const enabled = env.boolean(
    'KEEPALIVE_ENABLED',
    true,
    'TCP keepalive on data connections, except those accepted on 15008',
  )
  const timeMs = env.durationMs('KEEPALIVE_TIME', '180s', 'idle time before the first keepalive probe', KEEPALIVE_RANGE)
  const intervalMs = env.durationMs('KEEPALIVE_INTERVAL', '180s', 'time between keepalive probes', KEEPALIVE_RANGE)
  const [timeS, intervalS] = [Math.ceil(timeMs / 1_000), Math.ceil(intervalMs / 1_000)]
  const retries = env.integer('KEEPALIVE_RETRIES', 9, { min: 1, max: 127 }, 'unanswered probes that end a connection')
  return enabled ? { timeS, intervalS, retries } : undefined
}

function readUserTimeout(env: Environment, keepAlive: WorkerConfig['keepAlive']): number | undefined {
  const enabled = env.boolean('USER_TIMEOUT_ENABLED', false, 'TCP_USER_TIMEOUT of keepalive time + retries × interval')
  if (!enabled || !keepAlive) return undefined
  const timeoutMs = (keepAlive.timeS + keepAlive.retries * keepAlive.intervalS) * 1_000
  if (timeoutMs > MAX_USER_TIMEOUT_MS)
    env.report(
      `USER_TIMEOUT_ENABLED: keepalive time + retries × interval is ${timeoutMs / 1_000} s, more than the ${MAX_USER_TIMEOUT_MS / 1_000} s of Linux`,
    )
  return timeoutMs
}

/** Istio: grace above 10 s leaves 5 s to spare, a smaller one 1 s; without either 5 s. */
function readDrainDeadline(env: Environment): number {
  const graceS = env.integer(
    'TERMINATION_GRACE_PERIOD_SECONDS',
    0,
    { min: 0, max: 86_400 },
    'grace period of the pod; 0: not known',
  )
  const fromGraceS = graceS === 0 ? 5 : graceS > 10 ? graceS - 5 : Math.max(graceS - 1, 1)
  return env.durationMs(
    'CONNECTION_TERMINATION_DEADLINE',
    `${fromGraceS}s`,
    'how long open connections may go on after SIGTERM; from the grace period where not set',
  )
}

/** Worker processes: a number, `50%` of the processors, or 0 for all of them. */
function readWorkers(env: Environment): Pick<ZtunnelConfig, 'workers' | 'workerInProcess'> {
  const workers = env.parsed(
    'ZTUNNEL_WORKER_THREADS',
    '1',
    'data worker processes: a number, a percentage of the processors, or 0 for all',
    (text) => {
      const processors = availableParallelism()
      const share = /^(\d{1,3})%$/.exec(text)
      if (share) return Math.max(1, Math.ceil((processors * Number(share[1])) / 100))
      if (!/^\d{1,3}$/.test(text) || Number(text) > 64)
        return problem('must be a number up to 64, or a percentage like 50%')
      return text === '0' ? processors : Number(text)
    },
  )
  const workerInProcess = env.boolean(
    'AMBIT_WORKER_IN_PROCESS',
    false,
    'for profilers and debuggers: the data worker inside the control process, whose end is then that of both',
  )
  if (workerInProcess && workers > 1)
    env.report(`AMBIT_WORKER_IN_PROCESS=true is for one worker: ZTUNNEL_WORKER_THREADS asks for ${workers}`)
  return { workers, workerInProcess }
}
