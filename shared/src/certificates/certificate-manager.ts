import type { Clock } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { Log } from '../log/index.ts'
import { CertificateEntry, RANK, type Priority } from './certificate-entry.ts'
import type { CertificateFetcher } from './certificate-fetcher.ts'
import { CertificateUnavailableError } from './certificate-unavailable.ts'
import { backoffMs, refreshAtMs, type Random } from './refresh-schedule.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

/** Istio's ztunnel has 8 too: enough to fill a node in a second, few enough not to flood a CA. */
const DEFAULT_CONCURRENCY = 8
/** A node runs some hundred pods, hence fewer identities; each holds some 6 KB. */
const DEFAULT_MAX_IDENTITIES = 4_096
const DEFAULT_MAX_WAITERS_PER_IDENTITY = 10_000
/** As in Istio's ztunnel. What is dropped is fetched when the first connection needs it. */
const DEFAULT_MAX_QUEUED_WARMUPS = 256
/** From so many failures in a row on the wait, longer than HASTE_MS then, is cut short when the CA answers again. */
const HASTENED_FAILURES = 3
/** Within this time, spread so that they do not come all at once. */
const HASTE_MS = 2_000
/**
 * Refreshes look at the clock at least this often: after a step of the wall clock, as where a machine was suspended, what has
 * expired meanwhile is shown to peers for so long.
 */
const MAX_SLEEP_MS = 30_000
/** Not even a CA that answers with used-up certificates is asked more often than this for one identity. */
const MIN_RETRY_MS = 1_000

/** What a CertificateManager works with, and its bounds. */
export interface CertificateManagerOptions {
  readonly fetcher: CertificateFetcher
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Fetches at the same time; default 8. */
  readonly concurrency?: number
  /** Identities kept; default 4096. One more is refused. */
  readonly maxIdentities?: number
  /** Callers that wait for one identity's first certificate; default 10,000. One more is refused. */
  readonly maxWaitersPerIdentity?: number
  /** Identities that wait for a prefetch; default 256. One more is dropped with an info line. */
  readonly maxQueuedWarmups?: number
}

/** Who is told what becomes of certificates. */
export interface CertificateListener {
  /** It is the current one of its identity from now on. */
  available(certificate: WorkloadCertificate): void
  /** The one that there was has expired and could not be replaced. */
  lost(identity: SpiffeId, error: Error): void
}

/** One identity as `/config_dump` shows it. */
export interface CertificateState {
  readonly identity: SpiffeId
  /** `Initializing`, `Available`, or `Unavailable: <why>`. */
  readonly state: string
  readonly certificate?: WorkloadCertificate
}

/**
 * Keeps a current certificate for every identity in use. Fetched on first need, by priority and never twice at once for one
 * identity; replaced at half of its life; the last good one is served while the CA is down, until it has expired and could
 * still not be replaced. From then on, as long as there is none, callers get the last error at once and only the back-off asks
 * again, soon where another identity gets its certificate. A certificate carries the roots of its own response, so a new root
 * takes effect for an identity at its next refresh.
 *
 * Owns its timers and fetches until `close`. The fetcher must settle every fetch by itself, with a deadline.
 */
export class CertificateManager {
  readonly #options: Required<CertificateManagerOptions>
  /** At most maxIdentities. */
  readonly #entries = new Map<string, CertificateEntry>()
  /** Entries whose fetch is due and not begun, the one that waits longest first: a subset of #entries. */
  readonly #due = new Set<CertificateEntry>()
  /** Fetches under way, also of identities forgotten since; at most `concurrency`. */
  readonly #fetching = new Map<string, AbortController>()
  readonly #listeners = new Set<CertificateListener>()
  #isClosed = false

  constructor(options: CertificateManagerOptions) {
    this.#options = {
      concurrency: DEFAULT_CONCURRENCY,
      maxIdentities: DEFAULT_MAX_IDENTITIES,
      maxWaitersPerIdentity: DEFAULT_MAX_WAITERS_PER_IDENTITY,
      maxQueuedWarmups: DEFAULT_MAX_QUEUED_WARMUPS,
      ...options,
    }
  }

  /**
   * The current certificate; one that has just expired until its replacement has failed. Waits, without a timeout of its own, only while no
   * fetch for the identity has ended yet. Rejects with the fetcher's error or CertificateUnavailableError.
   */
  async get(identity: SpiffeId, priority: Priority): Promise<WorkloadCertificate> {
    const entry = this.#entries.get(identity.toString()) ?? this.#add(identity, priority)
    switch (entry.state.kind) {
      case 'available':
        return entry.state.certificate
      case 'unavailable':
        throw entry.state.error
      case 'initializing':
    }
    if (entry.waiters.size >= this.#options.maxWaitersPerIdentity) {
      throw new CertificateUnavailableError(
        'overloaded',
        `Too many connections wait for the certificate of ${entry.key}.`,
      )
    }
    entry.raise(priority)
    return entry.waiters.wait()
  }

  /** Begins to fetch, so that the first connection need not wait. Never throws; what cannot be queued is logged. */
  prefetch(identity: SpiffeId): void {
    const known = this.#entries.get(identity.toString())
    if (known) {
      if (known.state.kind === 'initializing') known.raise('warmup')
      return
    }
    let queued = 0
    for (const entry of this.#due) if (entry.priority === 'warmup') queued++
    if (queued >= this.#options.maxQueuedWarmups) {
      this.#options.log.info('too many certificates wait to be prefetched; this one is fetched on first need', {
        identity: identity.toString(),
      })
      return
    }
    try {
      this.#add(identity, 'warmup')
    } catch (error) {
      this.#options.log.info('certificate not prefetched', { identity: identity.toString(), error: messageOf(error) })
    }
  }

  /** The last workload of the identity left: waiters are refused, a fetch under way is aborted and its result dropped. */
  forget(identity: SpiffeId): void {
    const key = identity.toString()
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    this.#due.delete(entry)
    entry.cancelTimer()
    entry.waiters.reject(new CertificateUnavailableError('forgotten', 'the identity is no longer needed'))
    this.#fetching.get(key)?.abort()
  }

  list(): CertificateState[] {
    return Array.from(this.#entries.values(), ({ identity, state }) => {
      switch (state.kind) {
        case 'initializing':
          return { identity, state: 'Initializing' }
        case 'available':
          return { identity, state: 'Available', certificate: state.certificate }
        case 'unavailable':
          return { identity, state: `Unavailable: ${state.error.message}` }
      }
    })
  }

  /** Tells `listener` of every change, until the returned function is called. */
  onChange(listener: CertificateListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Ends everything: waiters are refused, fetches aborted, no timer stays. */
  close(): void {
    this.#isClosed = true
    const closed = new CertificateUnavailableError('closed', 'the proxy is stopping')
    for (const entry of this.#entries.values()) {
      entry.cancelTimer()
      entry.waiters.reject(closed)
    }
    for (const controller of this.#fetching.values()) controller.abort()
    this.#entries.clear()
    this.#due.clear()
    this.#listeners.clear()
  }

  #add(identity: SpiffeId, priority: Priority): CertificateEntry {
    const { maxIdentities } = this.#options
    if (this.#isClosed) throw new CertificateUnavailableError('closed', 'the proxy is stopping')
    if (this.#entries.size >= maxIdentities) {
      throw new CertificateUnavailableError(
        'overloaded',
        `Certificates of ${maxIdentities} identities are kept; there is no room for another.`,
      )
    }
    const entry = new CertificateEntry(identity, priority)
    this.#entries.set(entry.key, entry)
    this.#due.add(entry)
    this.#fetchDue()
    return entry
  }

  #fetchDue(): void {
    while (this.#fetching.size < this.#options.concurrency) {
      const entry = this.#mostUrgent()
      if (!entry) return
      this.#due.delete(entry)
      void this.#fetch(entry)
    }
  }

  /** By priority, then the one that waits longest. The set is small: it holds only what concurrency leaves over. */
  #mostUrgent(): CertificateEntry | undefined {
    let best: CertificateEntry | undefined
    for (const entry of this.#due) {
      // One forgotten and wanted again at once waits for the end of the aborted fetch: never two for one identity.
      if (this.#fetching.has(entry.key)) continue
      if (!best || RANK[entry.priority] < RANK[best.priority]) best = entry
    }
    return best
  }

  /** Never rejects. */
  async #fetch(entry: CertificateEntry): Promise<void> {
    const controller = new AbortController()
    this.#fetching.set(entry.key, controller)
    try {
      const certificate = await this.#options.fetcher.fetch(entry.identity, controller.signal)
      if (this.#isCurrent(entry)) this.#fetched(entry, certificate)
    } catch (error) {
      if (this.#isCurrent(entry)) this.#failed(entry, error instanceof Error ? error : new Error(messageOf(error)))
    } finally {
      this.#fetching.delete(entry.key)
      if (!this.#isClosed) this.#fetchDue()
    }
  }

  #isCurrent(entry: CertificateEntry): boolean {
    return this.#entries.get(entry.key) === entry
  }

  #fetched(entry: CertificateEntry, certificate: WorkloadCertificate): void {
    const { clock, random } = this.#options
    const nowMs = clock.now()
    const refreshAt = refreshAtMs(certificate, nowMs, random)
    if (refreshAt > nowMs) {
      entry.fruitless = 0
      entry.isHastened = false
      this.#refreshAt(entry, refreshAt, certificate.notBeforeMs)
      this.#hastenOthers()
    } else {
      // Due again at once: with a back-off, yet twice within the time that is left.
      entry.fruitless++
      const halfOfRestMs = (certificate.notAfterMs - nowMs) / 2
      const waitMs =
        halfOfRestMs > 0
          ? Math.min(backoffMs(entry.fruitless, random), halfOfRestMs)
          : backoffMs(entry.fruitless, random)
      this.#retryAfter(entry, Math.max(waitMs, MIN_RETRY_MS))
    }
    entry.setAvailable(certificate)
    this.#tell((listener) => listener.available(certificate))
  }

  /**
   * The CA answers: what failed while it did not, need not sit out a wait of minutes. Once for each until it succeeds, so that
   * what the CA refuses is not asked for again with every success of another. Who is due sooner anyway stays so.
   */
  #hastenOthers(): void {
    const { clock, random } = this.#options
    const nowMs = clock.monotonicMs()
    for (const entry of this.#entries.values()) {
      if (entry.fruitless < HASTENED_FAILURES || entry.isHastened || entry.timer === undefined) continue
      const waitMs = random() * HASTE_MS
      if (nowMs + waitMs >= entry.retryAtMs) continue
      entry.isHastened = true
      entry.cancelTimer()
      this.#retryAfter(entry, waitMs)
    }
  }

  #failed(entry: CertificateEntry, error: Error): void {
    const { clock, random, log } = this.#options
    const nowMs = clock.now()
    entry.fruitless++
    let waitMs = backoffMs(entry.fruitless, random)
    const current = entry.state.kind === 'available' ? entry.state.certificate : undefined
    const isKept = current !== undefined && current.notAfterMs > nowMs
    // Tried once more when the old one ends, at the latest.
    if (isKept) waitMs = Math.max(MIN_RETRY_MS, Math.min(waitMs, current.notAfterMs - nowMs))
    else {
      entry.setUnavailable(error)
      if (current) this.#tell((listener) => listener.lost(entry.identity, error))
    }
    log.warn(isKept ? 'certificate not renewed; the old one stays' : 'certificate not available', {
      identity: entry.key,
      error: error.message,
      retryInMs: Math.round(waitMs),
    })
    this.#retryAfter(entry, waitMs)
  }

  /** A duration: a wall clock that is set right meanwhile, as after a boot, must not put it off. */
  #retryAfter(entry: CertificateEntry, waitMs: number): void {
    const { clock } = this.#options
    entry.retryAtMs = clock.monotonicMs() + waitMs
    entry.timer = clock.after(waitMs, () => this.#isDue(entry))
  }

  /** By the wall clock, as the certificate's validity: at once where it is set back to before that began. */
  #refreshAt(entry: CertificateEntry, atMs: number, notBeforeMs: number): void {
    const { clock } = this.#options
    entry.timer = clock.after(Math.min(atMs - clock.now(), MAX_SLEEP_MS), () => {
      const nowMs = clock.now()
      if (notBeforeMs <= nowMs && nowMs < atMs) this.#refreshAt(entry, atMs, notBeforeMs)
      else this.#isDue(entry)
    })
  }

  #isDue(entry: CertificateEntry): void {
    entry.timer = undefined
    entry.priority = 'background'
    this.#due.add(entry)
    this.#fetchDue()
  }

  #tell(news: (listener: CertificateListener) => void): void {
    for (const listener of this.#listeners) {
      try {
        news(listener)
      } catch (error) {
        this.#options.log.error('a listener for certificates failed', { error: messageOf(error) })
      }
    }
  }
}
