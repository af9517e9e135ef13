import { url as inspectorUrl } from 'node:inspector'
import { flushCompileCache } from 'node:module'
import { setImmediate } from 'node:timers/promises'
import { createCaClient, type CaClient } from '@ambit/shared/ca/client'
import { CertificateManager } from '@ambit/shared/certificates'
import { systemClock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import { selectIo, type ByteIo } from '@ambit/shared/io'
import { Mesh, trustDomainOf, type MeshUpdate } from '@ambit/shared/mesh'
import { LocalFileSource } from '@ambit/shared/mesh/local'
import { METRICS, MetricRegistry, Readiness, type OpenedLog } from '@ambit/shared/telemetry'
import { blamedOn, type ZtunnelConfig } from '../config/index.ts'
import { checkCapabilities, NetworkNamespace, primeThreadPool } from '../linux/index.ts'
import type { FromWorker } from '../messages.ts'
import { onceIdle } from '../once-idle.ts'
import { PodsFileSource } from '../pods-file/index.ts'
import { returnMemory } from '../return-memory.ts'
import { CapturedPods } from './captured-pods.ts'
import { CrlFile } from './crl-file.ts'
import { DriftWatch } from './drift-watch.ts'
import { HandOvers } from './hand-overs.ts'
import { KnownAuthorities } from './known-authorities.ts'
import { meshBatches } from './mesh-batches.ts'
import { NodeCertificates } from './node-certificates.ts'
import { Observability } from './observability.ts'
import type { CapturedPod } from './pod-capture.ts'
import { PodIdentities } from './pod-identities.ts'
import { PodProbes } from './pod-probes.ts'
import { reservedNamespaces } from './reserved-namespaces.ts'
import { UnknownPods } from './unknown-pods.ts'
import { WorkerInProcess } from './worker-in-process.ts'
import { WorkerPool } from './worker-pool.ts'
import { WorkerProcess, type DataWorker } from './worker-process.ts'
import { WorkerReports } from './worker-reports.ts'
import { WorkerWatch } from './worker-watch.ts'

/** A worker that has not ended this long after the drain deadline is killed. */
const KILL_MARGIN_MS = 2_000

interface ControlParts {
  readonly io: ByteIo
  /** The node's, whose own processes reach pods past the proxy. */
  readonly node: NetworkNamespace | undefined
  readonly logging: OpenedLog
  readonly end: AbortController
}

/**
 * The control process: owns state, certificates, listening sockets and the admin ports, keeps the data workers running and
 * parses nothing that a stranger sends. State flows from here to the workers; counts and events flow back.
 */
export class Control {
  readonly #config: ZtunnelConfig
  readonly #logging: OpenedLog
  readonly #readiness: Readiness
  readonly #mesh: Mesh
  readonly #meshFile: LocalFileSource
  readonly #ca: CaClient
  readonly #certificates: NodeCertificates
  readonly #identities: PodIdentities
  readonly #unknownPods: UnknownPods
  readonly #workers: WorkerPool
  readonly #handOvers: HandOvers
  readonly #reports: WorkerReports
  readonly #watch: WorkerWatch | undefined
  readonly #pods: CapturedPods
  readonly #probes: PodProbes | undefined
  readonly #drift: DriftWatch | undefined
  readonly #podsFile: PodsFileSource | undefined
  readonly #crlFile: CrlFile | undefined
  readonly #observability: Observability
  readonly #ended = Promise.withResolvers<void>()
  readonly #end: AbortSignal
  #starting: Promise<void> = Promise.resolve()

  private constructor(config: ZtunnelConfig, parts: ControlParts) {
    const { io, node, logging, end } = parts
    const { worker } = config
    const { log } = logging
    const clock = systemClock
    this.#config = config
    this.#logging = logging
    this.#end = end.signal
    this.#readiness = new Readiness(() => log.info('ready', { pods: this.#pods.captured.size }))
    this.#mesh = new Mesh({ nodeName: worker.nodeName })
    this.#meshFile = new LocalFileSource({
      from: config.localMesh,
      clock,
      log: log.scope('state'),
      onUpdate: (update) => this.#meshChanged(update),
    })
    this.#ca = createCaClient({
      ...config.ca,
      clusterId: worker.clusterId,
      impersonate: worker.mode === 'shared',
      clock,
      log: log.scope('identity'),
    })
    const manager = new CertificateManager({
      fetcher: this.#ca,
      clock,
      random: Math.random,
      log: log.scope('identity'),
    })
    this.#certificates = new NodeCertificates(manager, (message) => this.#workers.broadcast(message))
    this.#identities = new PodIdentities({
      trustDomainOf: ({ namespace, name, serviceAccount }) =>
        trustDomainOf(this.#mesh.localWorkload(namespace, name, serviceAccount), worker.trustDomain),
      log: log.scope('identity'),
    })
    this.#unknownPods = new UnknownPods({
      mesh: this.#mesh,
      nodeName: worker.nodeName,
      clock,
      log: log.scope('inpod'),
    })
    this.#handOvers = new HandOvers({ clock, log })
    this.#workers = new WorkerPool({
      count: config.workers,
      spawn: (events) =>
        config.workerInProcess ? new WorkerInProcess(events, io) : new WorkerProcess(events, process.env),
      welcome: (process) => this.#welcome(process),
      onMessage: (process, message) => this.#received(process, message),
      onGone: (process) => {
        this.#handOvers.gone(process)
        this.#reports.gone(process)
      },
      clock,
      log,
    })
    const metrics = new MetricRegistry({ log, clock })
    this.#reports = new WorkerReports(this.#workers, metrics, clock)
    // At a breakpoint a worker stands still for as long as somebody looks.
    this.#watch = inspectorUrl() ? undefined : new WorkerWatch({ workers: () => this.#workers.workers, clock, log })
    const probes = node && new PodProbes({ node, mesh: this.#mesh, log: log.scope('inpod') })
    this.#probes = probes
    this.#pods = new CapturedPods({
      io,
      listen: {
        mark: worker.packetMark,
        reusePort: config.portReuse,
        originalSource: worker.originalSource,
        ipv6: worker.ipv6Enabled,
        keepAlive: worker.keepAlive,
        userTimeoutMs: worker.userTimeoutMs,
      },
      redirect: worker.mode === 'shared' ? { packetMark: worker.packetMark } : undefined,
      // A dedicated proxy serves the namespace that it runs in.
      reserved: worker.mode === 'shared' ? reservedNamespaces(node) : new Map(),
      probes,
      started: metrics.counter(METRICS.proxiesStarted),
      stopped: metrics.counter(METRICS.proxiesStopped),
      clock,
      log: log.scope('inpod'),
      onListening: (captured) => {
        // Where a predecessor's redirection is there already connections come from now on, before the change is done.
        this.#wantCertificateOf(captured)
        this.#workers.workers.forEach((process) => this.#handOvers.give(process, captured))
      },
      onRemoved: ({ pod }) => {
        this.#handOvers.removed(pod.uid)
        this.#workers.broadcast({ type: 'pod-removed', uid: pod.uid })
        // Workers do one thing after the other: who reports has ended them.
        return this.#reports.refresh()
      },
      onChanged: () => this.#podsChanged(),
    })
    this.#podsFile =
      config.localPodsPath === undefined
        ? undefined
        : new PodsFileSource({
            path: config.localPodsPath,
            clock,
            log: log.scope('inpod'),
            onChange: (added, removed) => void this.#pods.change(added, removed),
          })
    this.#drift =
      config.driftIntervalMs === 0
        ? undefined
        : new DriftWatch({
            captured: () => this.#pods.captured.values(),
            probes,
            intervalMs: config.driftIntervalMs,
            clock,
            log: log.scope('inpod'),
          })
    const authorities = new KnownAuthorities(manager)
    this.#crlFile =
      config.crlPath === undefined
        ? undefined
        : new CrlFile({
            path: config.crlPath,
            authorities: () => authorities.list(),
            clock,
            log: log.scope('crl'),
            broadcast: (message) => this.#workers.broadcast(message),
          })
    manager.onChange({ available: () => this.#crlFile?.authoritiesChanged(), lost: () => {} })
    this.#observability = new Observability({
      config,
      readiness: this.#readiness,
      metrics,
      reports: this.#reports,
      mesh: this.#mesh,
      meshFile: this.#meshFile,
      certificates: manager,
      pods: this.#pods,
      levels: logging.levels,
      onLevels: (levels) => this.#workers.broadcast({ type: 'log-levels', levels }),
      onQuit: () => end.abort('requested by POST /quitquitquit'),
      log,
      clock,
    })
  }

  /**
   * Starts everything; ready is told on the readiness port. Throws where it cannot be started at all. `end` begins the graceful
   * end, with a reason for the log: a successor takes the new connections, open ones go on until the deadline. While this starts
   * it goes no further then, and that is no failure. Whoever asks for it on the admin port aborts `end` as well.
   */
  static async start(config: ZtunnelConfig, logging: OpenedLog, end: AbortController): Promise<Control> {
    const { worker } = config
    for (const warning of config.warnings) logging.log.warn(warning)
    await primeThreadPool()
    checkCapabilities({ entersPods: worker.mode === 'shared', packetMark: worker.packetMark })
    const { hostNamespace } = config
    const node = hostNamespace && (await blamedOn('AMBIT_HOST_NETNS', () => NetworkNamespace.open(hostNamespace)))
    const io = await selectIo({ log: logging.log, prefer: worker.io })
    const control = new Control(config, { io, node: node || undefined, logging, end })
    end.signal.addEventListener('abort', () => control.#shutdown())
    if (end.signal.aborted) control.#shutdown()
    control.#starting = control.#start()
    await control.#starting
    // It may not end by itself, which is when Node writes what was compiled.
    flushCompileCache()
    onceIdle(returnMemory, systemClock)
    return control
  }

  /** Resolves when everything has ended after `end`. */
  get finished(): Promise<void> {
    return this.#ended.promise
  }

  #shutdown(): void {
    this.#logging.log.info(
      `shutdown: ${String(this.#end.reason)}; draining for up to ${this.#config.drainDeadlineMs} ms`,
    )
    void this.#drain().then(this.#ended.resolve, this.#ended.reject)
  }

  /** Step by step; goes no further once the end has begun. */
  async #start(): Promise<void> {
    if (this.#end.aborted) return
    const { localMesh, dedicatedPod } = this.#config
    this.#readiness.begin('state manager')
    this.#readiness.begin('workload proxy manager')
    await this.#observability.start()
    if (this.#end.aborted) return
    // Before there are workers: none of them accepts a peer without knowing who is revoked.
    await blamedOn('CRL_PATH', () => this.#crlFile?.start())
    if (this.#end.aborted) return
    this.#workers.start()
    try {
      await blamedOn('path' in localMesh ? 'LOCAL_XDS_PATH' : 'LOCAL_XDS', () => this.#meshFile.start())
    } catch (error) {
      // Told to end while a large file was read: that is no failure.
      if (!this.#end.aborted) throw error
    }
    if (this.#end.aborted) return
    this.#readiness.done('state manager')
    if (dedicatedPod) await this.#pods.change([{ ...dedicatedPod, uid: 'dedicated', netns: '/proc/self/ns/net' }], [])
    else await blamedOn('LOCAL_PODS_PATH', () => this.#podsFile?.start())
  }

  /** A new worker gets the whole state first and the listeners last: then it can serve at once. */
  #welcome(worker: DataWorker): void {
    worker.send({ type: 'start', config: this.#config.worker, logLevels: this.#logging.levels.toString() })
    for (const update of meshBatches(this.#mesh.snapshot())) worker.send({ type: 'mesh', update })
    this.#crlFile?.sendTo((message) => worker.send(message))
    this.#certificates.sendAll((message) => worker.send(message))
    for (const pod of this.#pods.serving.values()) this.#handOvers.give(worker, pod)
  }

  #received(worker: DataWorker, message: FromWorker): void {
    switch (message.type) {
      case 'certificate-wanted':
        void this.#certificates.answer(message, (reply) => worker.send(reply))
        return
      case 'report':
        this.#reports.receive(worker, message)
        return
      case 'listening':
        this.#handOvers.confirmed(worker, message.id)
        return
      case 'drained':
        worker.end()
        return
    }
  }

  /** In parts, as the workers get it: all of a large mesh at once would keep this process busy for a second. */
  async #meshChanged(update: MeshUpdate): Promise<void> {
    for (const batch of meshBatches(update)) {
      // Both before anything else, so that a worker that is welcomed in between misses nothing.
      this.#mesh.apply(batch)
      this.#probes?.meshChanged()
      // Who a pod is may be news, for which its workers ask when they know it.
      for (const captured of this.#pods.serving.values()) this.#wantCertificateOf(captured)
      this.#workers.broadcast({ type: 'mesh', update: batch })
      await setImmediate()
    }
    this.#wantCertificates()
  }

  #podsChanged(): void {
    if (this.#pods.pending.size === 0) this.#readiness.done('workload proxy manager')
    else this.#readiness.begin('workload proxy manager')
    this.#unknownPods.captured([...this.#pods.captured.values()].map(({ pod }) => pod))
    this.#wantCertificates()
  }

  #wantCertificateOf({ pod }: CapturedPod): void {
    const identity = this.#identities.add(pod)
    if (identity) this.#certificates.wantAlso(identity)
  }

  /**
   * Of the pods that serve, and of those that are still to be captured, which would else get a new one at each attempt. Never
   * throws: what was applied before stays applied, and the certificates stay as they were.
   */
  #wantCertificates(): void {
    const { serving, pending } = this.#pods
    const pods = [...serving.values()].map(({ pod }) => pod)
    for (const pod of pending.values()) if (!serving.has(pod.uid)) pods.push(pod)
    try {
      this.#certificates.want(this.#identities.of(pods))
    } catch (error) {
      this.#logging.log.error('the certificates of the pods stay as they were', { error: messageOf(error) })
    }
  }

  async #drain(): Promise<void> {
    const { drainDeadlineMs } = this.#config
    this.#podsFile?.stop()
    this.#meshFile.stop()
    this.#crlFile?.stop()
    // Our reference goes first: the last one to close a listener is a worker, which accepts what waits before it does.
    this.#drift?.stop()
    this.#unknownPods.stop()
    this.#handOvers.stop()
    this.#pods.stop()
    // What it has begun to open is there to be closed.
    await Promise.allSettled([this.#starting])
    this.#workers.broadcast({ type: 'drain', deadlineMs: drainDeadlineMs })
    await this.#workers.stop(drainDeadlineMs + KILL_MARGIN_MS)
    this.#reports.stop()
    this.#watch?.stop()
    this.#probes?.close()
    this.#certificates.close()
    this.#ca.close()
    await this.#observability.stop()
    // Nothing else is left that keeps the process.
    const alive = setInterval(() => {}, KILL_MARGIN_MS)
    await this.#logging.flush()
    clearInterval(alive)
  }
}
