import type { Clock } from '../clock/index.ts'
import type { ByteIo } from '../io/index.ts'
import type { Log } from '../log/index.ts'
import type { OutgoingTunnel, TunnelRequest } from './client-connection.ts'
import { connectHbone } from './connect-hbone.ts'
import { HboneError } from './hbone-error.ts'
import type { MemoryShare } from './held-memory.ts'
import type { Leftovers } from './leftovers.ts'
import type { HboneLimits } from './limits.ts'
import { PoolKey, type PoolKeyHost } from './pool-key.ts'
import type { Connect, Dialler, PooledConnection, PooledConnectionOptions } from './pooled-connection.ts'

/** The bounds of an HbonePool. */
export interface PoolSettings {
  readonly clock: Clock
  /** Streams that we put on one connection; the peer's MAX_CONCURRENT_STREAMS counts where it is lower. Default 100. */
  readonly maxStreamsPerConnection?: number
  /** A connection without streams for this long is closed. Default 300,000. */
  readonly idleTimeoutMs?: number
  /** Certificate, dial and handshake of one connection together; each of them has a shorter bound of its own. Default 30,000. */
  readonly connectTimeoutMs?: number
  /** How long a request may wait for room on a connection, dials and back-off included. Default 30,000. */
  readonly waitTimeoutMs?: number
  /** Connections of all keys, those included that only finish their last streams; half of them for one key. Default 1,024. */
  readonly maxConnections?: number
  /** Requests of all keys that wait for a connection; half of them for one key. Default 8,192. */
  readonly maxWaiters?: number
}

/** What the pool makes its connections of: by default TLS and HTTP/2 over `io`. */
export type HbonePoolOptions = PoolSettings & (ConnectionParts | { readonly connect: Connect })

interface ConnectionParts {
  readonly io: ByteIo
  readonly log: Log
  readonly limits: HboneLimits
  readonly leftovers: Leftovers
  readonly memory: MemoryShare
}

/** A tunnel that is wanted, and how a connection for it is made where there is none. */
export interface PoolRequest extends TunnelRequest, Dialler {
  /** Requests of the same key may share a connection: who asks, who may answer, where, and from which address. */
  readonly key: string
}

/** Keys remembered only because their peer proved useless; beyond, they are forgotten at once. */
const MAX_USELESS_KEYS = 1000

/**
 * The tunnel connections of one captured pod. Requests of a key share connections; the first one dials, others wait for
 * that dial and fail with it if it fails. Keys never wait for one another.
 *
 * Unlike Istio's pool, a connection that was full is used again once streams have ended: no dial is made while there is
 * room. A connection is closed when it had no stream for `idleTimeoutMs`, and retired without harm to its streams when the
 * peer sends GOAWAY. A peer that keeps ending connections unused is dialled with growing pauses.
 *
 * A dial goes on when the request that caused it gives up: under load, an abandoned dial would make the next one as late.
 */
export class HbonePool {
  readonly #keys = new Map<string, PoolKey>()
  /** Every connection that is not closed; retiring ones belong to no key any more. */
  readonly #connections = new Set<PooledConnection>()
  readonly #host: PoolKeyHost
  readonly #maxWaiters: number
  readonly #maxConnections: number
  #waiters = 0
  #state: 'open' | 'draining' | 'destroyed' = 'open'

  constructor(options: HbonePoolOptions) {
    const connectionOptions: PooledConnectionOptions = {
      connect: 'connect' in options ? options.connect : connectOver(options),
      clock: options.clock,
      maxStreams: Math.max(options.maxStreamsPerConnection ?? 100, 1),
      idleTimeoutMs: options.idleTimeoutMs ?? 300_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 30_000,
    }
    this.#maxWaiters = options.maxWaiters ?? 8192
    this.#maxConnections = options.maxConnections ?? 1024
    this.#host = {
      clock: options.clock,
      connectionOptions,
      waitTimeoutMs: options.waitTimeoutMs ?? 30_000,
      maxConnectionsPerKey: Math.ceil(this.#maxConnections / 2),
      maxWaitersPerKey: Math.ceil(this.#maxWaiters / 2),
      makeRoom: () => this.#connections.size < this.#maxConnections || this.#retireIdlest(),
      waiterAdded: () => this.#addWaiter(),
      waiterRemoved: () => void this.#waiters--,
      connectionAdded: (pooled) => this.#addConnection(pooled),
      connectionRemoved: (pooled) => void this.#connections.delete(pooled),
      keyChanged: (key) => this.#forgetIfEmpty(key),
    }
  }

  /** Connections that exist or are being made. */
  get size(): number {
    return this.#connections.size
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#waiters
  }

  /**
   * A tunnel to `authority` over a connection of `key`. A request that the peer certainly did not process is sent once more
   * on another connection. Rejects with HboneError.
   */
  open(request: PoolRequest): Promise<OutgoingTunnel> {
    if (this.#state === 'destroyed')
      return Promise.reject(new HboneError('aborted', 'the tunnel pool is closed', { source: 'internal' }))
    if (request.signal?.aborted)
      return Promise.reject(new HboneError('aborted', 'the caller gave up', { source: 'downstream' }))
    let key = this.#keys.get(request.key)
    if (!key) this.#keys.set(request.key, (key = new PoolKey(request.key, this.#host)))
    return key.open(request)
  }

  /**
   * Connections are closed as soon as they have no streams, from now on. Requests are still served, so that connections
   * accepted before the drain began are not lost.
   */
  drain(): void {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    for (const pooled of this.#connections) pooled.drain()
  }

  /** Ends all tunnels, connections and waiting requests at once. Idempotent. */
  destroy(): void {
    this.#state = 'destroyed'
    for (const key of this.#keys.values()) key.destroy()
    for (const pooled of this.#connections) pooled.destroy()
    this.#keys.clear()
  }

  /** The connections of the moment, those included that are being made: with no `tls` before their peer was accepted. */
  connections(): readonly Pick<PooledConnection, 'tls' | 'destroy'>[] {
    return [...this.#connections]
  }

  #addWaiter(): void {
    if (this.#waiters >= this.#maxWaiters) {
      throw new HboneError('overloaded', 'too many requests wait for a tunnel connection', { source: 'internal' })
    }
    this.#waiters++
  }

  #addConnection(pooled: PooledConnection): void {
    this.#connections.add(pooled)
    if (this.#state === 'draining') pooled.drain()
  }

  /** Closes the connection that has been without streams for longest; false where all are in use. */
  #retireIdlest(): boolean {
    let idlest: PooledConnection | undefined
    for (const pooled of this.#connections) {
      const since = pooled.idleSinceMs
      if (since !== undefined && since < (idlest?.idleSinceMs ?? Infinity)) idlest = pooled
    }
    idlest?.retire()
    return idlest !== undefined
  }

  #forgetIfEmpty(key: PoolKey): void {
    if (key.isBackingOff && this.#keys.size > this.#maxConnections + MAX_USELESS_KEYS) key.forget()
    if (key.isEmpty && this.#keys.get(key.name) === key) this.#keys.delete(key.name)
  }
}

function connectOver({ io, ...options }: PoolSettings & ConnectionParts): Connect {
  const { clock, limits, leftovers, memory, log } = options
  return async (end, tls, signal) => connectHbone(io, end, { tls, limits, leftovers, memory, clock, log, signal })
}
