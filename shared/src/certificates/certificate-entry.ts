import { Waiters } from '../cancellation/index.ts'
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

/** One identity in the manager: what is known of it, who waits for it, and when it is fetched next. */
export class CertificateEntry {
  readonly identity: SpiffeId
  readonly key: string
  state: EntryState = { kind: 'initializing' }
  priority: Priority
  /** Runs until the next fetch is due; undefined while the entry is due or being fetched. */
  timer: Timer | undefined
  /** When that will be, where it is after a failure: in monotonic milliseconds. */
  retryAtMs = 0
  /** Fetches in a row that brought no certificate with time left before its refresh. */
  fruitless = 0
  /** Of these failures one was followed by a fetch sooner than the back-off says. */
  isHastened = false
  /** For the first outcome. */
  readonly waiters = new Waiters<WorkloadCertificate>()

  constructor(identity: SpiffeId, priority: Priority) {
    this.identity = identity
    this.key = identity.toString()
    this.priority = priority
  }

  raise(priority: Priority): void {
    if (RANK[priority] < RANK[this.priority]) this.priority = priority
  }

  setAvailable(certificate: WorkloadCertificate): void {
    this.state = { kind: 'available', certificate }
    this.waiters.resolve(certificate)
  }

  setUnavailable(error: Error): void {
    this.state = { kind: 'unavailable', error }
    this.waiters.reject(error)
  }

  cancelTimer(): void {
    this.timer?.cancel()
    this.timer = undefined
  }
}
