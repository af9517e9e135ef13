import type { Clock } from '../clock/index.ts'
import type { DnsError } from './dns-error.ts'
import type { Addresses } from './pick-address.ts'

interface Entry {
  readonly outcome: Addresses | DnsError
  readonly untilMs: number
}

/** What was heard of names, for as long as it holds; the least recently used goes where there are more than `maxNames`. */
export class AnswerCache {
  readonly #clock: Clock
  readonly #maxNames: number
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>()

  constructor(clock: Clock, maxNames: number) {
    this.#clock = clock
    this.#maxNames = maxNames
  }

  get(name: string): Addresses | DnsError | undefined {
    const entry = this.#entries.get(name)
    if (!entry) return undefined
    this.#entries.delete(name)
    if (this.#clock.monotonicMs() >= entry.untilMs) return undefined
    this.#entries.set(name, entry)
    return entry.outcome
  }

  set(name: string, outcome: Addresses | DnsError, forMs: number): void {
    this.#entries.delete(name)
    this.#entries.set(name, { outcome, untilMs: this.#clock.monotonicMs() + forMs })
    if (this.#entries.size <= this.#maxNames) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}
