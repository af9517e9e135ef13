import { url as inspectorUrl } from 'node:inspector'
import { flushCompileCache } from 'node:module'
import { systemClock } from '@ambit/shared/clock'
import { selectIo, type ByteIo } from '@ambit/shared/io'
import { MetricRegistry, Readiness, type OpenedLog } from '@ambit/shared/telemetry'
import { blamedOn, type ZtunnelConfig } from '../config/index.ts'
import { checkCapabilities, NetworkNamespace, primeThreadPool } from '../linux/index.ts'
import type { FromWorker, SendToWorker } from '../messages.ts'
import { onceIdle } from '../once-idle.ts'
import { returnMemory } from '../return-memory.ts'
import { NodeMesh } from './node-mesh.ts'
import { NodePods } from './node-pods.ts'
import { NodeTrust } from './node-trust.ts'
import { Observability } from './observability.ts'
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
  readonly #mesh: NodeMesh
  readonly #trust: NodeTrust
  readonly #pods: NodePods
  readonly #workers: WorkerPool
  readonly #reports: WorkerReports
  readonly #watch: WorkerWatch | undefined
  readonly #observability: Observability
  readonly #ended = Promise.withResolvers<void>()
  readonly #end: AbortSignal
  #starting: Promise<void> = Promise.resolve()

  private constructor(config: ZtunnelConfig, parts: ControlParts) {
    const { io, node, logging, end } = parts
    const { log } = logging
    const clock = systemClock
    const metrics = new MetricRegistry({ log, clock })
    const broadcast: SendToWorker = (message) => this.#workers.broadcast(message)
    this.#config = config
    this.#logging = logging
    this.#end = end.signal
    this.#readiness = new Readiness(() => log.info('ready', { pods: this.#pods.captured.size }))
    this.#mesh = new NodeMesh({
      from: config.localMesh,
      maxReadingBytes: config.maxMeshReadingBytes,
      nodeName: config.worker.nodeName,
      clock,
      log: log.scope('state'),
      broadcast,
      onPart: () => this.#pods.meshChanged(),
      onUpdated: () => this.#pods.meshSettled(),
    })
    this.#trust = new NodeTrust({ config, readiness: this.#readiness, clock, log, broadcast })
    this.#workers = new WorkerPool({
      count: config.workers,
      spawn: (events) =>
        config.workerInProcess ? new WorkerInProcess(events, io) : new WorkerProcess(events, process.env),
      welcome: (worker) => this.#welcome(worker),
      onMessage: (worker, message) => this.#received(worker, message),
      onGone: (worker) => {
        this.#pods.workerGone(worker)
        this.#reports.gone(worker)
      },
      clock,
      log,
    })
    this.#reports = new WorkerReports(this.#workers, metrics, clock)
    // At a breakpoint a worker stands still for as long as somebody looks.
    this.#watch = inspectorUrl() ? undefined : new WorkerWatch({ workers: () => this.#workers.workers, clock, log })
    this.#pods = new NodePods({
      config,
      io,
      node,
      mesh: this.#mesh.state,
      certificates: this.#trust.certificates,
      workers: this.#workers,
      // They do one thing after the other: who reports has done what came before.
      workersDone: () => this.#reports.refresh(),
      metrics,
      clock,
      log,
      onChanged: () => this.#podsChanged(),
    })
    this.#observability = new Observability({
      config,
      readiness: this.#readiness,
      metrics,
      reports: this.#reports,
      mesh: this.#mesh,
      trust: this.#trust,
      pods: this.#pods,
      levels: logging.levels,
      onLevels: (levels) => broadcast({ type: 'log-levels', levels }),
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
    if (worker.mode === 'dedicated' && worker.packetMark === undefined && process.getuid?.() === 0)
      logging.log.warn(
        "PACKET_MARK is not set: rules that tell the proxy's connections from the workload's by a mark send them back to it, without end; " +
          'rules that tell them by the user need a user of its own, and it runs as root',
      )
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
    const { localMesh } = this.#config
    this.#readiness.begin('state manager')
    this.#readiness.begin('workload proxy manager')
    await this.#observability.start()
    if (this.#end.aborted) return
    // Before there are workers: none of them accepts a peer without knowing who is revoked.
    await this.#trust.start()
    if (this.#end.aborted) return
    this.#workers.start()
    try {
      await blamedOn('path' in localMesh ? 'LOCAL_XDS_PATH' : 'LOCAL_XDS', () => this.#mesh.start())
    } catch (error) {
      // Told to end while a large file was read: that is no failure.
      if (!this.#end.aborted) throw error
    }
    if (this.#end.aborted) return
    this.#readiness.done('state manager')
    await this.#pods.start()
  }

  /** A new worker gets the whole state first and the listeners last: then it can serve at once. */
  #welcome(worker: DataWorker): void {
    const send: SendToWorker = (message) => worker.send(message)
    send({ type: 'start', config: this.#config.worker, logLevels: this.#logging.levels.toString() })
    this.#mesh.sendAll(send)
    this.#trust.sendAll(send)
    this.#pods.giveAll(worker)
  }

  #received(worker: DataWorker, message: FromWorker): void {
    switch (message.type) {
      case 'certificate-wanted':
        void this.#trust.certificates.answer(message, (reply) => worker.send(reply))
        return
      case 'report':
        this.#reports.receive(worker, message)
        return
      case 'listening':
        this.#pods.confirmed(worker, message.id)
        return
      case 'drained':
        worker.end()
        return
    }
  }

  #podsChanged(): void {
    if (this.#pods.pending.size === 0) this.#readiness.done('workload proxy manager')
    else this.#readiness.begin('workload proxy manager')
  }

  async #drain(): Promise<void> {
    const { drainDeadlineMs } = this.#config
    this.#mesh.stop()
    this.#trust.stop()
    // Our reference goes first: the last one to close a listener is a worker, which accepts what waits before it does.
    this.#pods.stop()
    // What it has begun to open is there to be closed.
    await Promise.allSettled([this.#starting])
    this.#workers.broadcast({ type: 'drain', deadlineMs: drainDeadlineMs })
    await this.#workers.stop(drainDeadlineMs + KILL_MARGIN_MS)
    this.#reports.stop()
    this.#watch?.stop()
    this.#pods.close()
    this.#trust.close()
    await this.#observability.stop()
    // Nothing else is left that keeps the process.
    const alive = setInterval(() => {}, KILL_MARGIN_MS)
    await this.#logging.flush()
    clearInterval(alive)
  }
}
