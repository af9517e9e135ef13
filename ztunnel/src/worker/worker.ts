import { flushCompileCache } from 'node:module'
import { CrlSet, fromWire } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { MeshChange, MeshUpdate } from '@ambit/shared/mesh'
import type { PolicySet } from '@ambit/shared/policy'
import { MetricRegistry, openLog, type OpenedLog } from '@ambit/shared/telemetry'
import { NetworkNamespace, primeThreadPool, sendNow } from '../linux/index.ts'
import type { FromWorker, ListenerRole, PodConnections, ToWorker } from '../messages.ts'
import { onceIdle } from '../once-idle.ts'
import { nameOf } from '../pod.ts'
import { returnMemory } from '../return-memory.ts'
import { createWorkerContext } from './create-worker-context.ts'
import { serveInboundConnection } from './inbound.ts'
import { serveInboundPassthrough } from './inbound-passthrough.ts'
import { serveOutbound } from './outbound.ts'
import { PodProxy, type Serve } from './pod-proxy.ts'
import type { WorkerContext } from './worker-context.ts'

/** How often a draining worker looks whether its last connection has ended. */
const DRAIN_POLL_MS = 50

export interface WorkerOptions {
  readonly send: (message: FromWorker) => void
  readonly clock: Clock
  /** The descriptor that the log goes to; 1 is standard output. Stays the caller's. */
  readonly logFd: number
}

/** What becomes of a connection, by the port that accepted it. */
const SERVE: Readonly<Record<ListenerRole, Serve>> = {
  inbound: serveInboundConnection,
  inboundPassthrough: serveInboundPassthrough,
  outbound: serveOutbound,
}

interface Started {
  readonly context: WorkerContext
  readonly logging: OpenedLog
  readonly metrics: MetricRegistry
}

/** The state of a data worker: everything in it came from the control process, in the order of the messages. */
export class Worker {
  readonly #send: (message: FromWorker) => void
  readonly #clock: Clock
  readonly #logFd: number
  readonly #pods = new Map<string, PodProxy>()
  /** Messages that came while `start` is still being carried out. */
  readonly #early: (readonly [message: Exclude<ToWorker, { type: 'start' }>, handle: unknown])[] = []
  #started: Started | undefined
  #crl: CrlSet | undefined
  #isDrained = false

  constructor({ send, clock, logFd }: WorkerOptions) {
    this.#send = send
    this.#clock = clock
    this.#logFd = logFd
  }

  /** Its last connection has ended and the last report is on its way. */
  get isDrained(): boolean {
    return this.#isDrained
  }

  /** Handles one message of the control process; `handle` is the listening socket that came with it. */
  receive(message: ToWorker, handle: unknown): void {
    if (message.type === 'start') void this.#begin(message)
    else if (this.#started) this.#handle(this.#started, message, handle)
    else this.#early.push([message, handle])
  }

  #handle(started: Started, message: Exclude<ToWorker, { type: 'start' }>, handle: unknown): void {
    const { context, logging } = started
    switch (message.type) {
      case 'mesh':
        // Policies first: the mesh tells of the change, and open connections are asked about again.
        updatePolicies(context.policies, message.update)
        context.mesh.apply(message.update)
        return
      case 'certificate':
        context.identities.set(fromWire(message.certificate))
        return
      case 'certificate-failed':
        context.identities.fail(message.identity, message.reason)
        return
      case 'certificate-forgotten':
        context.identities.forget(message.identity)
        return
      case 'crl':
        this.#crl = CrlSet.fromDer(message.lists.map((list) => Buffer.from(list, 'base64')))
        for (const proxy of this.#pods.values()) proxy.revocationsChanged()
        return
      case 'listener':
        this.#listen(context, message, handle)
        return
      case 'pod-removed':
        this.#removePod(message.uid)
        return
      case 'log-levels':
        logging.levels.reset()
        logging.levels.add(message.levels)
        return
      case 'report':
        this.#report(started, message)
        return
      case 'drain':
        void this.#drain(started, message.deadlineMs)
        return
    }
  }

  async #begin(message: Extract<ToWorker, { type: 'start' }>): Promise<void> {
    const started = await this.#start(message)
    this.#started = started
    for (const [early, handle] of this.#early.splice(0)) this.#handle(started, early, handle)
    // It may not end by itself, which is when Node writes what was compiled.
    flushCompileCache()
    onceIdle(returnMemory, this.#clock)
  }

  async #start({ config, logLevels }: Extract<ToWorker, { type: 'start' }>): Promise<Started> {
    const clock = this.#clock
    await primeThreadPool()
    const logging = openLog({
      fd: this.#logFd,
      format: config.logFormat,
      levels: logLevels,
      program: 'ztunnel',
      clock,
      sendNow,
    })
    process.on('exit', () => logging.flushSync())
    const { log } = logging
    const metrics = new MetricRegistry({ log, clock })
    const context = await createWorkerContext(config, {
      clock,
      log,
      metrics,
      requestCertificate: (identity) => this.#send({ type: 'certificate-wanted', identity }),
      crl: () => this.#crl,
    })
    context.mesh.onChange((change) => this.#meshChanged(change))
    return { context, logging, metrics }
  }

  /** What fails, for want of descriptors, is not confirmed, and tried again when it is handed over again. */
  #listen(context: WorkerContext, message: Extract<ToWorker, { type: 'listener' }>, handle: unknown): void {
    const { id, pod, role, transparent } = message
    try {
      let proxy = this.#pods.get(pod.uid)
      if (!proxy) {
        proxy = new PodProxy(context, pod, namespaceOf(context, handle))
        this.#pods.set(pod.uid, proxy)
      }
      proxy.listen({ role, handle, transparent, serve: SERVE[role] })
    } catch (error) {
      if (isClosable(handle)) handle.close()
      context.log.error('a listener cannot be taken', { pod: nameOf(pod), port: role, error: messageOf(error) })
      return
    }
    this.#send({ type: 'listening', id })
  }

  #removePod(uid: string): void {
    this.#pods.get(uid)?.destroy()
    this.#pods.delete(uid)
  }

  /** Policies and workloads both decide what is allowed; each pod knows which of them concern it. */
  #meshChanged(change: MeshChange): void {
    if (change.policies.size === 0 && change.workloads.size === 0) return
    for (const proxy of this.#pods.values()) proxy.meshChanged()
  }

  #report({ metrics }: Started, { id, connections }: Extract<ToWorker, { type: 'report' }>): void {
    const pods: Record<string, PodConnections> = {}
    if (connections) for (const [uid, proxy] of this.#pods) pods[uid] = proxy.connections.summarise()
    this.#send({ type: 'report', id, metrics: metrics.takeDelta(), pods })
  }

  /** Resolves when the last connection ended or, at the deadline, was ended. */
  async #drain({ context, logging, metrics }: Started, deadlineMs: number): Promise<void> {
    for (const proxy of this.#pods.values()) proxy.drain()
    const clock = this.#clock
    const deadline = clock.monotonicMs() + deadlineMs
    while (this.#busy() > 0 && clock.monotonicMs() < deadline) {
      await new Promise<void>((resolve) => {
        clock.after(DRAIN_POLL_MS, resolve)
      })
    }
    const forced = this.#busy()
    if (forced > 0) context.log.warn(`drain duration expired with ${forced} connections open, closing them`)
    for (const uid of this.#pods.keys()) this.#removePod(uid)
    await logging.flush()
    this.#send({ type: 'report', id: 0, metrics: metrics.takeDelta(), pods: {} })
    this.#isDrained = true
    this.#send({ type: 'drained' })
  }

  #busy(): number {
    let busy = 0
    for (const proxy of this.#pods.values()) busy += proxy.busy
    return busy
  }
}

function updatePolicies(policies: PolicySet, { upserts, removals }: MeshUpdate): void {
  for (const key of removals) if (key.startsWith('policy/')) policies.delete(key.slice('policy/'.length))
  for (const { kind, value } of upserts) if (kind === 'policy') policies.set(value)
}

/** Where a pod's listener was made. A dedicated proxy is where its workload is, and may lack the right to ask a socket. */
function namespaceOf({ config }: WorkerContext, handle: unknown): NetworkNamespace {
  return config.mode === 'dedicated' ? NetworkNamespace.own() : NetworkNamespace.ofSocket(descriptorOf(handle))
}

function isClosable(handle: unknown): handle is { close(): void } {
  return typeof handle === 'object' && handle !== null && 'close' in handle && typeof handle.close === 'function'
}

/** The descriptor of a socket received from the control process; needed to find the network namespace that it is in. */
function descriptorOf(handle: unknown): number {
  if (typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number') return handle.fd
  throw new Error('the control process sent a listener without its socket')
}
