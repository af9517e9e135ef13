import type { Clock, Timer } from '../clock/index.ts'
import type { OutgoingTunnel, TunnelRequest } from './client-connection.ts'
import { HboneError } from './hbone-error.ts'
import {
  PooledConnection,
  type Dialler,
  type PooledConnectionOptions,
  type PooledConnectionOwner,
} from './pooled-connection.ts'

export type KeyRequest = TunnelRequest & Dialler

/** The pool, as far as one key needs it. */
export interface PoolKeyHost {
  readonly clock: Clock
  readonly connectionOptions: PooledConnectionOptions
  readonly waitTimeoutMs: number
  /** Connections of one key that are not closed, and requests of it that wait: one destination leaves room for the others. */
  readonly maxConnectionsPerKey: number
  readonly maxWaitersPerKey: number
  /** True where one more connection may be made; an idle one may have been closed for it. */
  makeRoom(): boolean
  /** Counts a request that waits; throws HboneError `overloaded`. */
  waiterAdded(): void
  waiterRemoved(): void
  connectionAdded(pooled: PooledConnection): void
  connectionRemoved(pooled: PooledConnection): void
  /** The key may hold nothing any more. */
  keyChanged(key: PoolKey): void
}

interface Waiter {
  readonly sinceMs: number
  readonly request: KeyRequest
  /** A connection whose peer has just refused this request. */
  readonly avoid: PooledConnection | undefined
  /** Connections that proved useless while it waited. */
  disappointments: number
  settle(outcome: Placed | HboneError): void
}

/** A request on its way to the peer. The tunnel is wrapped so that awaiting the place does not await the answer. */
interface Placed {
  readonly pooled: PooledConnection
  readonly tunnel: Promise<OutgoingTunnel>
}

/** A request that the peer surely did not look at is sent once more, on another connection (RFC 9113 §8.7). */
const MAX_SENDS = 2
/** Connections that the peer ended unused (GOAWAY, MAX_CONCURRENT_STREAMS 0) before a waiting request gives up. */
const MAX_DISAPPOINTMENTS = 3
/** Several dials of a key only where one connection could not hold those who wait. */
const MAX_PARALLEL_DIALS = 8
/** After a useless connection the next dial of the key waits: 100 ms, 200 ms … */
const FIRST_BACKOFF_MS = 100
const LONGEST_BACKOFF_MS = 3200
/** How long a key is remembered as useless after its back-off has passed. */
const BACKOFF_MEMORY_MS = 10_000

/** Connections and waiting requests of one key: same source, same acceptable peers, same destination. */
export class PoolKey implements PooledConnectionOwner {
  readonly name: string
  readonly #host: PoolKeyHost
  /** Connecting and ready, oldest first: the first with room is taken, so that the youngest can fall idle. */
  readonly #connections = new Set<PooledConnection>()
  readonly #waiters = new Set<Waiter>()
  /** Connections that are not closed, those included that only finish their last streams. */
  #unclosed = 0
  #backoff: { readonly untilMs: number; readonly failures: number; readonly timer: Timer } | undefined
  /** Calls of open() that are not answered; one of them may be between two connections. */
  #requests = 0
  #isDestroyed = false

  constructor(name: string, host: PoolKeyHost) {
    this.name = name
    this.#host = host
  }

  /** Nothing is open, asked for or remembered. */
  get isEmpty(): boolean {
    return this.#connections.size === 0 && this.#requests === 0 && !this.#backoff
  }

  get isBackingOff(): boolean {
    return this.#backoff !== undefined
  }

  async open(request: KeyRequest): Promise<OutgoingTunnel> {
    this.#requests++
    try {
      let avoid: PooledConnection | undefined
      for (let sends = 1; ; sends++) {
        // Most requests find room at once: awaiting only what must be waited for, here and below, saves half the promises.
        const place = this.#place(request, avoid)
        const { pooled, tunnel } = place instanceof Promise ? await place : place
        try {
          const opened = await tunnel
          pooled.hasAnswered()
          return opened
        } catch (error) {
          pooled.hasAnswered(error)
          const mayRepeat = error instanceof HboneError && error.unprocessed && sends < MAX_SENDS
          if (!mayRepeat || request.signal?.aborted || this.#isDestroyed) throw error
          avoid = pooled
        }
      }
    } finally {
      this.#requests--
      this.#host.keyChanged(this)
    }
  }

  /** Forgets the back-off, for a pool that remembers too many. */
  forget(): void {
    this.#backoff?.timer.cancel()
    this.#backoff = undefined
  }

  destroy(): void {
    this.#isDestroyed = true
    this.forget()
    this.#rejectWaiters(new HboneError('aborted', 'the tunnel pool is closed', { source: 'internal' }))
    for (const pooled of this.#connections) pooled.destroy()
  }

  hasChanged(): void {
    if (this.#waiters.size > 0) this.#serveWaiters()
  }

  /** Those who waited for this dial fail with it, together: nobody waits for a row of timeouts. */
  hasFailed(pooled: PooledConnection, error: HboneError): void {
    if (this.#dials() === 0) this.#rejectWaiters(error)
    // The dials that follow are not for those whom all that there were then have failed.
    else if (this.#dials(pooled.sinceMs) === 0) this.#rejectWaiters(error, { sinceMs: pooled.sinceMs })
    else this.#rejectWaiters(error, { count: this.#host.connectionOptions.maxStreams })
    this.#serveWaiters()
  }

  hasRetired(pooled: PooledConnection, isUseless: boolean): void {
    this.#connections.delete(pooled)
    if (isUseless) {
      this.#backOff()
      this.#disappointWaiters()
    }
    this.#serveWaiters()
    this.#host.keyChanged(this)
  }

  hasClosed(pooled: PooledConnection): void {
    this.#unclosed--
    this.#connections.delete(pooled)
    this.#host.connectionRemoved(pooled)
    this.#host.keyChanged(this)
  }

  hasServed(): void {
    if (!this.#backoff) return
    this.forget()
    this.#host.keyChanged(this)
  }

  #place(request: KeyRequest, avoid: PooledConnection | undefined): Placed | Promise<Placed> {
    const pooled = this.#waiters.size === 0 ? this.#choose(avoid) : undefined
    if (pooled) return { pooled, tunnel: pooled.open(request) }
    return this.#wait(request, avoid)
  }

  #choose(avoid: PooledConnection | undefined): PooledConnection | undefined {
    for (const pooled of this.#connections) if (pooled !== avoid && pooled.room > 0) return pooled
    return undefined
  }

  async #wait(request: KeyRequest, avoid: PooledConnection | undefined): Promise<Placed> {
    const { clock, waitTimeoutMs, maxWaitersPerKey } = this.#host
    if (this.#waiters.size >= maxWaitersPerKey) {
      const message = 'too many requests wait for a tunnel connection to this destination'
      throw new HboneError('overloaded', message, { source: 'internal' })
    }
    this.#host.waiterAdded()
    return new Promise((resolve, reject) => {
      const aborted = () => waiter.settle(new HboneError('aborted', 'the caller gave up', { source: 'downstream' }))
      const timer = clock.after(waitTimeoutMs, () => {
        waiter.settle(new HboneError('overloaded', `no tunnel connection had room within ${waitTimeoutMs} ms`))
      })
      const waiter: Waiter = {
        sinceMs: clock.monotonicMs(),
        request,
        avoid,
        disappointments: 0,
        settle: (outcome) => {
          if (!this.#waiters.delete(waiter)) return
          this.#host.waiterRemoved()
          timer.cancel()
          request.signal?.removeEventListener('abort', aborted)
          if (outcome instanceof HboneError) reject(outcome)
          else resolve(outcome)
        },
      }
      request.signal?.addEventListener('abort', aborted)
      this.#waiters.add(waiter)
      this.#serveWaiters()
    })
  }

  /** Gives room to those who wait, in order of arrival, and dials for those it does not suffice for. */
  #serveWaiters(): void {
    for (const waiter of this.#waiters) {
      const pooled = this.#choose(waiter.avoid)
      if (pooled) waiter.settle({ pooled, tunnel: pooled.open(waiter.request) })
      else if (!waiter.avoid) break // nor is there room for anyone behind it
    }
    this.#dialForWaiters()
  }

  #dialForWaiters(): void {
    const { connectionOptions } = this.#host
    for (let dials = this.#dials(); dials < MAX_PARALLEL_DIALS; dials++) {
      const [first] = this.#waiters
      if (!first || this.#isDestroyed || this.#waiters.size <= dials * connectionOptions.maxStreams) return
      if (this.#backoff && this.#host.clock.monotonicMs() < this.#backoff.untilMs) return
      if (this.#unclosed >= this.#host.maxConnectionsPerKey || !this.#host.makeRoom()) {
        if (this.#connections.size === 0) this.#rejectWaiters(tooManyConnections())
        return
      }
      const pooled = new PooledConnection(first.request, this, connectionOptions)
      this.#connections.add(pooled)
      this.#unclosed++
      this.#host.connectionAdded(pooled)
    }
  }

  /** Dials under way that began by then. */
  #dials(byMs = Infinity): number {
    let dials = 0
    for (const pooled of this.#connections) if (pooled.isConnecting && pooled.sinceMs <= byMs) dials++
    return dials
  }

  #backOff(): void {
    const failures = (this.#backoff?.failures ?? 0) + 1
    const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** (failures - 1), LONGEST_BACKOFF_MS)
    this.#backoff?.timer.cancel()
    const timer = this.#host.clock.after(delayMs, () => {
      const forgetting = this.#host.clock.after(BACKOFF_MEMORY_MS, () => {
        this.#backoff = undefined
        this.#host.keyChanged(this)
      })
      this.#backoff = { untilMs: 0, failures, timer: forgetting }
      this.#serveWaiters()
    })
    this.#backoff = { untilMs: this.#host.clock.monotonicMs() + delayMs, failures, timer }
  }

  #disappointWaiters(): void {
    for (const waiter of this.#waiters) {
      if (++waiter.disappointments < MAX_DISAPPOINTMENTS) continue
      waiter.settle(new HboneError('h2', `the peer ended ${MAX_DISAPPOINTMENTS} connections without taking a request`))
    }
  }

  /** In order of arrival: no more than `count`, and none that came after `sinceMs`. */
  #rejectWaiters(error: HboneError, { count = Infinity, sinceMs = Infinity } = {}): void {
    let left = count
    for (const waiter of this.#waiters) {
      if (left-- <= 0 || waiter.sinceMs > sinceMs) return
      waiter.settle(error)
    }
  }
}

function tooManyConnections(): HboneError {
  return new HboneError('overloaded', 'too many tunnel connections are open', { source: 'internal' })
}
