import { messageOf } from '@ambit/shared/errors'
import type { Clock } from '@ambit/shared/clock'
import type { ByteIo } from '@ambit/shared/io'
import { trustDomainOf, type Mesh } from '@ambit/shared/mesh'
import { METRICS, type MetricRegistry, type ScopedLog } from '@ambit/shared/telemetry'
import { blamedOn, type ZtunnelConfig } from '../config/index.ts'
import type { NetworkNamespace } from '../linux/index.ts'
import type { PodPlace } from '../pod.ts'
import { PodsFileSource } from '../pods-file/index.ts'
import { CapturedPods } from './captured-pods.ts'
import { DriftWatch } from './drift-watch.ts'
import { HandOvers } from './hand-overs.ts'
import type { NodeCertificates } from './node-certificates.ts'
import type { CapturedPod } from './pod-capture.ts'
import { PodIdentities } from './pod-identities.ts'
import type { PodListenOptions } from './pod-listeners.ts'
import { PodProbes } from './pod-probes.ts'
import { reservedNamespaces } from './reserved-namespaces.ts'
import { UnknownPods } from './unknown-pods.ts'
import type { WorkerPool } from './worker-pool.ts'
import type { DataWorker } from './worker-process.ts'

export interface NodePodsOptions {
  readonly config: ZtunnelConfig
  readonly io: ByteIo
  /** The node's, whose own processes reach pods past the proxy; undefined where it is not known. Belongs to this from here on. */
  readonly node: NetworkNamespace | undefined
  readonly mesh: Mesh
  readonly certificates: Pick<NodeCertificates, 'want' | 'wantAlso'>
  readonly workers: Pick<WorkerPool, 'workers' | 'broadcast'>
  /** Resolves when each worker has done what it was told before, or is not waited for any longer. Never rejects. */
  readonly workersDone: () => Promise<void>
  readonly metrics: MetricRegistry
  readonly clock: Clock
  readonly log: ScopedLog
  /** After every change: `captured` and `pending` are new. */
  readonly onChanged: () => void
}

/**
 * The pods of this node, from where they are named to where their traffic is: they are captured, their listeners handed to the
 * workers, their certificates wanted, their probes let past, and their redirection watched.
 */
export class NodePods {
  readonly #options: NodePodsOptions
  readonly #pods: CapturedPods
  readonly #podsFile: PodsFileSource | undefined
  readonly #handOvers: HandOvers
  readonly #identities: PodIdentities
  readonly #probes: PodProbes | undefined
  readonly #drift: DriftWatch | undefined
  readonly #unknown: UnknownPods

  constructor(options: NodePodsOptions) {
    this.#options = options
    const { config, io, node, mesh, metrics, clock } = options
    const { worker, localPodsPath, driftIntervalMs } = config
    const log = options.log.scope('inpod')
    const probes = node && new PodProbes({ node, mesh, log })
    this.#probes = probes
    this.#handOvers = new HandOvers({ clock, log: options.log })
    this.#identities = new PodIdentities({
      trustDomainOf: ({ namespace, name, serviceAccount }) =>
        trustDomainOf(mesh.localWorkload(namespace, name, serviceAccount), worker.trustDomain),
      log: options.log.scope('identity'),
    })
    this.#unknown = new UnknownPods({ mesh, nodeName: worker.nodeName, clock, log })
    this.#pods = new CapturedPods({
      io,
      listen: listenOptions(config),
      redirect: worker.mode === 'shared' ? { packetMark: worker.packetMark } : undefined,
      // A dedicated proxy serves the namespace that it runs in.
      reserved: worker.mode === 'shared' ? reservedNamespaces(node) : new Map(),
      probes,
      started: metrics.counter(METRICS.proxiesStarted),
      stopped: metrics.counter(METRICS.proxiesStopped),
      clock,
      log,
      onListening: (captured) => this.#listening(captured),
      onRemoved: (captured) => this.#removed(captured),
      onChanged: () => this.#changed(),
    })
    if (localPodsPath !== undefined)
      this.#podsFile = new PodsFileSource({
        path: localPodsPath,
        clock,
        log,
        onChange: (added, removed) => void this.#pods.change(added, removed),
      })
    if (driftIntervalMs !== 0)
      this.#drift = new DriftWatch({
        captured: () => this.#pods.captured.values(),
        probes,
        intervalMs: driftIntervalMs,
        clock,
        log,
      })
  }

  /** The pods whose traffic is redirected now. */
  get captured(): ReadonlyMap<string, CapturedPod> {
    return this.#pods.captured
  }

  /** Those that could not be captured yet. */
  get pending(): ReadonlyMap<string, PodPlace> {
    return this.#pods.pending
  }

  /** Captures the pods from now on. Throws ConfigError where they cannot be known, and another error where the only one of dedicated mode cannot be served. */
  async start(): Promise<void> {
    const { dedicatedPod } = this.#options.config
    if (dedicatedPod) await this.#pods.captureAlone({ ...dedicatedPod, uid: 'dedicated', netns: '/proc/self/ns/net' })
    else await blamedOn('LOCAL_PODS_PATH', () => this.#podsFile?.start())
  }

  /** Gives a worker that starts the listeners of all pods, until it confirms them. */
  giveAll(worker: DataWorker): void {
    for (const captured of this.#pods.serving.values()) this.#handOvers.give(worker, captured)
  }

  /** The worker accepts on the listener of this number. */
  confirmed(worker: DataWorker, id: number): void {
    this.#handOvers.confirmed(worker, id)
  }

  workerGone(worker: DataWorker): void {
    this.#handOvers.gone(worker)
  }

  /** Records of pods may be new. To be told before the workers are. */
  meshChanged(): void {
    this.#probes?.meshChanged()
    // Who a pod is may be news, for which its workers ask when they know it.
    for (const captured of this.#pods.serving.values()) this.#wantCertificateOf(captured)
  }

  /** Nothing more of this change is to come: certificates of who the pods no longer are may go. */
  meshSettled(): void {
    this.#wantCertificates()
  }

  /**
   * Lets go of the listeners and looks after nothing any more. Pods stay redirected, and probes let past: a successor serves
   * them, and without one they fail closed.
   */
  stop(): void {
    this.#podsFile?.stop()
    this.#drift?.stop()
    this.#unknown.stop()
    this.#handOvers.stop()
    this.#pods.stop()
  }

  /** To be called when `start` has ended. */
  close(): void {
    this.#probes?.close()
  }

  #listening(captured: CapturedPod): void {
    // Where a predecessor's redirection is there already connections come from now on, before the change is done.
    this.#wantCertificateOf(captured)
    this.#options.workers.workers.forEach((worker) => this.#handOvers.give(worker, captured))
  }

  #removed({ pod }: CapturedPod): Promise<void> {
    this.#handOvers.removed(pod.uid)
    this.#options.workers.broadcast({ type: 'pod-removed', uid: pod.uid })
    return this.#options.workersDone()
  }

  #changed(): void {
    this.#options.onChanged()
    this.#unknown.captured([...this.#pods.captured.values()].map(({ pod }) => pod))
    this.#wantCertificates()
  }

  #wantCertificateOf({ pod }: CapturedPod): void {
    const identity = this.#identities.add(pod)
    if (identity) this.#options.certificates.wantAlso(identity)
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
      this.#options.certificates.want(this.#identities.of(pods))
    } catch (error) {
      this.#options.log.error('the certificates of the pods stay as they were', { error: messageOf(error) })
    }
  }
}

function listenOptions({ worker, portReuse }: ZtunnelConfig): PodListenOptions {
  return {
    mark: worker.packetMark,
    reusePort: portReuse,
    originalSource: worker.originalSource,
    ipv6: worker.ipv6Enabled,
    keepAlive: worker.keepAlive,
    userTimeoutMs: worker.userTimeoutMs,
  }
}
