import { availableParallelism } from 'node:os'
import { parseIdentityPart } from '@ambit/shared/identity'
import type { PodIdentity } from '../pod.ts'
import { availableMemory } from './available-memory.ts'
import type { ZtunnelConfig } from './config.ts'
import { Environment, type Variable, type WhyUnreadable } from './environment.ts'
import { accepted, Problem, problem } from './problem.ts'
import { readCa } from './read-ca.ts'
import { readKeepAlive } from './read-keep-alive.ts'
import { readWorker } from './read-worker.ts'

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
  return Object.freeze({ ...config, warnings: environment.warnings })
}

/** The variables with default and meaning, in the order of reading, for `--help`. */
export function describeVariables(): readonly Variable[] {
  const environment = new Environment({}, { describing: true })
  read(environment)
  return environment.variables
}

function read(env: Environment): Omit<ZtunnelConfig, 'warnings'> {
  const mode = env.oneOf(
    'PROXY_MODE',
    'shared',
    ['shared', 'dedicated'],
    'shared: the pods of a node; dedicated: one workload in the namespace of this process',
  )
  const dedicatedPod = readDedicatedPod(env, mode)
  const keepAlive = readKeepAlive(env)
  const workers = readWorkers(env)
  const config = {
    ...workers,
    dedicatedPod,
    localMesh: readLocalMesh(env),
    maxMeshReadingBytes: maxMeshReading(),
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
      'shared mode: how often the redirection in the pods is checked and mended; 0s: never',
    ),
    crlPath: env.file('CRL_PATH', 'certificate revocation list, PEM or DER; watched', { mayComeLater: true }),
    istioVersion: env.text('ISTIO_META_ISTIO_VERSION', 'unknown', 'tag of the metric istio_build'),
    worker: readWorker(env, mode, keepAlive, workers.workers),
  }
  warnOfIdle(env, mode)
  return config
}

/** Variables of one mode alone. */
const ONLY_IN = {
  shared: ['LOCAL_PODS_PATH', 'AMBIT_HOST_NETNS', 'AMBIT_DRIFT_INTERVAL'],
  dedicated: ['PROXY_WORKLOAD_INFO'],
} as const

/** What variables of Istio's ztunnel ask for that this version does not do; undefined: whatever they say. */
const NOT_HERE: Readonly<Record<string, string | undefined>> = {
  ENABLE_PROXY: 'false',
  FAKE_CA: 'true',
  TLS12_ENABLED: 'true',
  UNSTABLE_ENABLE_SOCKS5: 'true',
  ISTIO_META_DNS_CAPTURE: 'true',
  PROXY_CONFIG: undefined,
}

/** For the launcher and the tests, whose programs inherit them; and Kubernetes' own, where a Service is called ambit-something. */
const FOR_OTHERS =
  /^AMBIT_(?:IN_USER_NAMESPACE$|WITHOUT_NAMESPACES$|STRESS$|TEST_)|_(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_|$)/

/** Warns of what is set and has no effect; when all has been read. */
function warnOfIdle(env: Environment, mode: 'shared' | 'dedicated'): void {
  const other = mode === 'shared' ? 'dedicated' : 'shared'
  for (const name of ONLY_IN[other])
    if (env.isSet(name)) env.warn(`${name} is for ${other} mode: it has no effect when PROXY_MODE=${mode}`)
  for (const [name, value] of Object.entries(NOT_HERE))
    if (env.isSet(name, value))
      env.warn(`${name}${value === undefined ? '' : `=${value}`} has no effect in this version`)
  env.warnOfUnread('AMBIT_', FOR_OTHERS)
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

/** 100,000 workloads take 450 MB. */
const MAX_MESH_READING_BYTES = 2 * 1024 ** 3

/** Beside the half that may be held for connections, and what the processes take. */
function maxMeshReading(): number {
  return Math.min(MAX_MESH_READING_BYTES, Math.floor(availableMemory() / 4))
}

function readPodsPath(env: Environment, mode: string): string | undefined {
  const path = env.optional(
    'LOCAL_PODS_PATH',
    'shared mode: file that names the pods of this node and their network namespaces; reloaded when it changes',
  )
  if (mode !== 'shared') return undefined
  if (path) env.checkFile('LOCAL_PODS_PATH', path)
  else env.report('set LOCAL_PODS_PATH: in shared mode it names the pods to capture')
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

/** More than that gain nothing, and each holds a copy of the mesh. */
const MAX_WORKERS = 64

function inRange(workers: number): number {
  return Math.min(Math.max(workers, 1), MAX_WORKERS)
}

/** Worker processes: a number, `50%` of the processors, or 0 for all of them. */
function readWorkers(env: Environment): Pick<ZtunnelConfig, 'workers' | 'workerInProcess'> {
  const workers = env.parsed(
    'ZTUNNEL_WORKER_THREADS',
    '1',
    'data worker processes: a number, a percentage of the processors, or 0 for all',
    (text) => {
      const processors = availableParallelism()
      const [, number = '', percent] = /^(\d{1,3})(%)?$/.exec(text) ?? []
      const most = percent ? 100 : MAX_WORKERS
      if (number === '' || Number(number) > most)
        return problem(`must be a number up to ${MAX_WORKERS}, or a percentage like 50%`)
      if (percent) return inRange(Math.ceil((processors * Number(number)) / 100))
      return inRange(Number(number) || processors)
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
