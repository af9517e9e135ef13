import { HbonePool, type HboneServerConnection, type MemoryShare } from '@ambit/shared/hbone'
import type { SpiffeId } from '@ambit/shared/identity'
import type { TcpEnd, TcpListener } from '@ambit/shared/io'
import type { Workload } from '@ambit/shared/mesh'
import { logVerdict, type ConnectionFacts } from '@ambit/shared/policy'
import { encodeBaggage } from '../connect-headers/index.ts'
import { isForwarding, type NetworkNamespace } from '../linux/index.ts'
import { LISTEN_BACKLOG } from '../listen-backlog.ts'
import type { ListenerRole } from '../messages.ts'
import type { Pod } from '../pod.ts'
import { ConnectionFailure } from './connection-failure.ts'
import { ForwardingMemory } from './forwarding-memory.ts'
import { identityOf } from './identity-of.ts'
import { localWorkload } from './local-workload.ts'
import { OpenConnections } from './open-connections.ts'
import { PodPolicy } from './pod-policy.ts'
import { PeerTls, revokedPeer } from './peer-tls.ts'
import { ScarcePorts } from './scarce-ports.ts'
import type { WorkerContext } from './worker-context.ts'

/** The whole life of an accepted connection, which it ends itself. Never rejects. */
export type Serve = (proxy: PodProxy, end: TcpEnd) => Promise<void>

/** A listening socket in the pod's namespace that the control process opened, and what becomes of who connects to it. */
export interface ReceivedListener {
  readonly role: ListenerRole
  /** The socket. */
  readonly handle: unknown
  /** The application may be dialled from the client's address (IP_TRANSPARENT). */
  readonly transparent: boolean
  readonly serve: Serve
}

/** How the pod presents itself by one record of it in the mesh. */
interface Presentation {
  readonly workload: Workload
  readonly identity: SpiffeId
  readonly baggage: string
}

/** One captured pod in this worker: its listeners, tunnels and open connections. `destroy` ends all of it at once. */
export class PodProxy {
  readonly context: WorkerContext
  readonly pod: Pod
  readonly namespace: NetworkNamespace
  readonly pool: HbonePool
  readonly connections = new OpenConnections()
  readonly scarcePorts: ScarcePorts
  readonly memory: MemoryShare
  readonly forwarding: ForwardingMemory
  readonly #policy: PodPolicy
  readonly #listeners = new Map<ListenerRole, TcpListener>()
  readonly #tunnels = new Map<HboneServerConnection, PeerTls>()
  /** The application is dialled from the client's address. Known from the listeners: the same right is needed. */
  #originalSource = false
  #presented: Presentation | undefined
  /** The pod's own, until the mesh changes. */
  #record: Workload | undefined
  #busy = 0
  readonly #isDone = (): void => {
    this.#busy--
  }
  #ended = false

  /** Owns `namespace` from here on. */
  constructor(context: WorkerContext, pod: Pod, namespace: NetworkNamespace) {
    this.context = context
    this.pod = pod
    this.namespace = namespace
    this.memory = context.heldMemory.share()
    this.forwarding = new ForwardingMemory({
      clock: context.clock,
      ask: (family) => isForwarding(namespace, family),
    })
    this.scarcePorts = new ScarcePorts(context.clock)
    this.#policy = new PodPolicy({ ...context, pod, connections: this.connections })
    this.pool = new HbonePool({
      io: context.io,
      clock: context.clock,
      log: context.log,
      limits: context.hboneLimits,
      leftovers: context.leftovers,
      memory: this.memory,
      maxStreamsPerConnection: context.config.poolMaxStreams,
      idleTimeoutMs: context.config.poolIdleTimeoutMs,
    })
  }

  /** What a drain waits for: accepted connections, tunnels of peers that may still ask for one, and queues that are emptied. */
  get busy(): number {
    return this.#busy
  }

  get originalSource(): boolean {
    return this.#originalSource
  }

  /** Accepts from now on; replaces the listener of the same role. */
  listen({ role, handle, transparent, serve }: ReceivedListener): void {
    this.#listeners.get(role)?.close()
    if (role !== 'outbound') this.#originalSource = transparent
    this.#listeners.set(
      role,
      this.context.io.listen(handle, LISTEN_BACKLOG, (end) => {
        if (this.context.descriptors.isTouchedBy(end.fd)) end.destroy(true)
        else this.#whileBusy(serve(this, end))
      }),
    )
  }

  /** The pod's own record; waits up to 5 s for it. Throws UnknownWorkload. */
  localWorkload(): Workload | Promise<Workload> {
    const found = this.#record ?? localWorkload(this.context.mesh, this.pod, this.context.clock)
    if (!(found instanceof Promise)) this.#record = found
    return found
  }

  /** Who this pod is towards its peers, by its record. */
  identity(workload: Workload): SpiffeId {
    return this.#presentation(workload).identity
  }

  /** What this pod tells its peers about itself in the header `baggage`. */
  baggage(workload: Workload): string {
    return this.#presentation(workload).baggage
  }

  /** Throws ConnectionFailure `DENY` where policy refuses the connection. */
  authorize(workload: Workload, facts: ConnectionFacts): void {
    const verdict = this.#policy.judge(workload, facts)
    logVerdict(this.context.log, verdict, { atInfo: this.context.config.policyInfoLogging })
    if (verdict.allowed) return
    throw new ConnectionFailure('DENY', `connection closed due to policy rejection: ${verdict.reason}`, {
      source: 'downstream',
    })
  }

  /** After every change of policies or workloads: open connections that are refused now are closed soon. */
  meshChanged(): void {
    this.#record = undefined
    this.#policy.meshChanged()
  }

  /** After a change of the revocation lists: tunnels with peers that are revoked now are ended soon. */
  revocationsChanged(): void {
    const { recheck } = this.context
    recheck.add(this.#tunnels.keys(), (tunnel) => {
      if (this.#tunnels.get(tunnel)?.isRevoked()) tunnel.destroy(revokedPeer())
    })
    recheck.add(this.pool.connections(), (pooled) => {
      if (pooled.tls instanceof PeerTls && pooled.tls.isRevoked()) pooled.destroy(revokedPeer())
    })
  }

  /** A tunnel of a peer, for drain and destruction; forgets it by itself when it closes. */
  track(tunnel: HboneServerConnection, tls: PeerTls): void {
    this.#tunnels.set(tunnel, tls)
    void tunnel.closed.then(() => this.#tunnels.delete(tunnel))
  }

  /** No new connections; those that wait are accepted first, peers are told by GOAWAY, open connections go on. */
  drain(): void {
    this.#closeListeners()
    for (const tunnel of this.#tunnels.keys()) tunnel.drain()
    this.pool.drain()
  }

  /** Ends everything at once. Idempotent. */
  destroy(): void {
    if (this.#ended) return
    this.#ended = true
    this.#closeListeners()
    this.connections.resetAll(new ConnectionFailure('CONNECT', 'connection closed due to connection drain'))
    for (const tunnel of this.#tunnels.keys()) tunnel.destroy()
    this.pool.destroy()
    this.namespace.close()
  }

  /** Made once for each record: both texts go with every connection. */
  #presentation(workload: Workload): Presentation {
    if (this.#presented?.workload !== workload) {
      const identity = identityOf(workload, this.pod, this.context.config.trustDomain)
      this.#presented = { workload, identity, baggage: encodeBaggage(workload) }
    }
    return this.#presented
  }

  #closeListeners(): void {
    for (const listener of this.#listeners.values()) {
      listener.close()
      this.#whileBusy(listener.closed)
    }
    this.#listeners.clear()
  }

  /** `work` never rejects. */
  #whileBusy(work: Promise<void>): void {
    this.#busy++
    void work.then(this.#isDone)
  }
}
