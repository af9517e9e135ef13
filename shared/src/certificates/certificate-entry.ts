import type { Timer } from '../clock/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

/** How soon a certificate is wanted: a connection waits, a pod just came, a current certificate ages. */
export type Priority = 'realtime' | 'warmup' | 'background'

/** Smaller goes first. */
export const RANK = { realtime: 0, warmup: 1, background: 2 } as const satisfies Record<Priority, number>

export type EntryState =
  | { readonly kind: 'initializing' }
  | { readonly kind: 'available'; readonly certificate: WorkloadCertificate }
  | { readonly kind: 'unavailable'; readonly error: Error }

interface Waiter {
  resolve(certificate: WorkloadCertificate): void
  reject(error: Error): void
}

/** One identity in the manager: what is known of it, who waits for it, and when it is fetched next. */
export class CertificateEntry {
  readonly identity: SpiffeId
  readonly key: string
  state: EntryState = { kind: 'initializing' }
  priority: Priority
  /** When the next fetch is due; later than now while `timer` runs. */
  dueAtMs: number
  /** Runs until the next fetch is due; undefined while the entry is due or being fetched. */
  timer: Timer | undefined
  /** Fetches in a row that brought no certificate with time left before its refresh. */
  fruitless = 0
  readonly #waiters = new Set<Waiter>()

  constructor(identity: SpiffeId, priority: Priority, dueAtMs: number) {
    this.identity = identity
    this.key = identity.toString()
    this.priority = priority
    this.dueAtMs = dueAtMs
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Resolves or rejects with the first result; rejects with the signal's reason when that comes first. */
  wait(signal: AbortSignal | undefined): Promise<WorkloadCertificate> {
    return new Promise((resolve, reject) => {
      const settled = (): void => {
        this.#waiters.delete(waiter)
        signal?.removeEventListener('abort', aborted)
      }
      const waiter: Waiter = {
        resolve: (certificate) => {
          settled()
          resolve(certificate)
        },
        reject: (error) => {
          settled()
          reject(error)
        },
      }
      const aborted = (): void => waiter.reject(abortError(signal))
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  raise(priority: Priority): void {
    if (RANK[priority] < RANK[this.priority]) this.priority = priority
  }

  setAvailable(certificate: WorkloadCertificate): void {
    this.state = { kind: 'available', certificate }
    for (const waiter of this.#waiters) waiter.resolve(certificate)
  }

  setUnavailable(error: Error): void {
    this.state = { kind: 'unavailable', error }
    this.rejectWaiters(error)
  }

  rejectWaiters(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error)
  }

  cancelTimer(): void {
    this.timer?.cancel()
    this.timer = undefined
  }
}

/** What an aborted wait is rejected with. */
export function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason : new Error('The wait for a certificate was aborted.')
}
