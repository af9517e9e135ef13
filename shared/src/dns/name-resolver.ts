import { Waiters, type CancelSignal } from '../cancellation/index.ts'
import type { Clock, Timer } from '../clock/index.ts'
import { AnswerCache } from './answer-cache.ts'
import type { Answer, Query } from './ask-servers.ts'
import { DnsError } from './dns-error.ts'
import type { Addresses } from './pick-address.ts'

/** The bounds of a NameResolver. */
export interface NameResolverLimits {
  /** Names remembered. Default 4096, as Istio's ztunnel. */
  readonly maxNames: number
  /** Lookups under way. Default 64. */
  readonly maxQueries: number
  /** Lookups under way and those that wait to begin; further names are refused. Default 4096. */
  readonly maxLookups: number
  /** Who waits for one lookup; further ones are refused. Default 10,000. */
  readonly maxWaiters: number
}

/** Whom a NameResolver asks, and its bounds. */
export interface NameResolverOptions {
  readonly clock: Clock
  readonly ask: (name: string) => Query
  readonly limits?: Partial<NameResolverLimits>
}

const DEFAULT_LIMITS: NameResolverLimits = { maxNames: 4_096, maxQueries: 64, maxLookups: 4_096, maxWaiters: 10_000 }

/** From the first question for a name on, the time that it waits for others included. */
const LOOKUP_LIMIT_MS = 5_000
/** Shorter TTLs are taken for this: a busy service with TTL 0 asks once a second, not for each connection. */
const MIN_TTL_MS = 1_000
/** Longer ones for this: who makes a mistake in a zone can mend it. */
const MAX_TTL_MS = 3_600_000
/** Where the other family could not be had. */
const MAX_INCOMPLETE_TTL_MS = 30_000
/** That there is no address. RFC 9520, 3.2: a failure is kept for at least 1 s and at most 5 min. */
const FAILURE_TTL_MS = 5_000

interface Lookup {
  readonly name: string
  readonly waiters: Waiters<Addresses>
  readonly limit: Timer
  /** undefined: it waits until others have ended. */
  query: Query | undefined
  /** It had to: that it found nothing in its time says nothing about the name. */
  hasQueued: boolean
}

/** Finds the addresses of names: remembers answers for their time, and asks once for all who want the same. */
export class NameResolver {
  readonly #clock: Clock
  readonly #ask: NameResolverOptions['ask']
  readonly #limits: NameResolverLimits
  readonly #cache: AnswerCache
  /** By name; each has someone who waits for it. */
  readonly #lookups = new Map<string, Lookup>()
  /** Those of #lookups that have not begun. */
  readonly #queued = new Set<Lookup>()
  /** Those that nobody waits for any more, but that have not ended yet, included. */
  #queries = 0

  constructor({ clock, ask, limits = {} }: NameResolverOptions) {
    this.#clock = clock
    this.#ask = ask
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    this.#cache = new AnswerCache(clock, this.#limits.maxNames)
  }

  /**
   * The addresses of a name; what is remembered is answered at once. Throws, or rejects with, DnsError within 5 s, or the reason
   * of `signal` when that is aborted meanwhile. A lookup that nobody waits for any more is ended.
   */
  resolve(name: string, signal: CancelSignal): Addresses | Promise<Addresses> {
    const known = this.#cache.get(name)
    if (known instanceof DnsError) throw known
    return known ?? this.#wait(name, signal)
  }

  #wait(name: string, signal: CancelSignal): Promise<Addresses> {
    const lookup = this.#lookups.get(name) ?? this.#begin(name)
    if (lookup.waiters.size >= this.#limits.maxWaiters) {
      throw new DnsError('overloaded', 'too many connections wait for the name')
    }
    return lookup.waiters.wait(signal, () => {
      if (lookup.waiters.size === 0) this.#abandon(lookup)
    })
  }

  #begin(name: string): Lookup {
    if (this.#lookups.size >= this.#limits.maxLookups) {
      throw new DnsError('overloaded', 'too many names are looked up at once')
    }
    const lookup: Lookup = {
      name,
      waiters: new Waiters(),
      limit: this.#clock.after(LOOKUP_LIMIT_MS, () => this.#runOut(lookup)),
      query: undefined,
      hasQueued: false,
    }
    this.#lookups.set(name, lookup)
    this.#queued.add(lookup)
    this.#startQueued()
    lookup.hasQueued = this.#queued.has(lookup)
    return lookup
  }

  #startQueued(): void {
    for (const lookup of this.#queued) {
      if (this.#queries >= this.#limits.maxQueries) return
      this.#queued.delete(lookup)
      void this.#start(lookup)
    }
  }

  async #start(lookup: Lookup): Promise<void> {
    this.#queries++
    lookup.query = this.#ask(lookup.name)
    const outcome = await lookup.query.answer.catch(dnsErrorOf)
    this.#queries--
    // Else nobody waits any more, and what was cancelled is no answer.
    if (this.#lookups.get(lookup.name) === lookup) {
      this.#cache.set(lookup.name, outcome, ttlOf(outcome))
      this.#end(lookup, outcome)
    }
    this.#startQueued()
  }

  /** The time is over: what was answered until now counts. */
  #runOut(lookup: Lookup): void {
    if (lookup.hasQueued) {
      this.#end(lookup, new DnsError('overloaded', 'it had to wait too long for lookups of other names'))
    }
    lookup.query?.cancel()
  }

  #end(lookup: Lookup, outcome: Addresses | DnsError): void {
    this.#forget(lookup)
    if (outcome instanceof DnsError) lookup.waiters.reject(outcome)
    else lookup.waiters.resolve(outcome)
  }

  #abandon(lookup: Lookup): void {
    this.#forget(lookup)
    lookup.query?.cancel()
  }

  #forget(lookup: Lookup): void {
    lookup.limit.cancel()
    this.#queued.delete(lookup)
    this.#lookups.delete(lookup.name)
  }
}

function dnsErrorOf(thrown: unknown): DnsError {
  if (thrown instanceof DnsError) return thrown
  throw thrown
}

function ttlOf(outcome: Answer | DnsError): number {
  if (outcome instanceof DnsError) return FAILURE_TTL_MS
  const { ttlMs, isIncomplete } = outcome
  return Math.min(Math.max(ttlMs, MIN_TTL_MS), isIncomplete ? MAX_INCOMPLETE_TTL_MS : MAX_TTL_MS)
}
