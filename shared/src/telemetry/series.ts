import type { Claim } from './claim.ts'

/** Counts upwards. Keep the handle: adding is then one addition. */
export interface Counter {
  add(amount: number): void
}

/** A value that goes up and down. */
export interface Gauge {
  set(value: number): void
  add(amount: number): void
}

export interface SeriesOrigin {
  readonly claim?: Claim | undefined
  readonly source?: string | undefined
  readonly nowMs?: number
}

/** One line of a metric: what this process counted under these labels, and the gauges of other processes. */
export class Series implements Counter, Gauge {
  readonly labels: string
  /** Where a peer says so. */
  readonly claim: Claim | undefined
  /** Who brought it about, whose share of the metric it counts in; see SeriesFamily. */
  readonly source: string | undefined
  /** When it was counted in last, as far as the registry has noticed: to a report. By the monotonic clock. */
  movedAtMs: number
  #own = 0
  #told = 0
  #isNew = true
  /** Someone in this process holds it, so it stays whatever other processes do. */
  #isOwned = false
  /** Values of other processes, gauges only; one for each worker process. */
  #sources: Map<string, number> | undefined

  constructor(labels: string, origin: SeriesOrigin = {}) {
    this.labels = labels
    this.claim = origin.claim
    this.source = origin.source
    this.movedAtMs = origin.nowMs ?? 0
  }

  add(amount: number): void {
    this.#own += amount
  }

  set(value: number): void {
    this.#own = value
  }

  setOf(source: string, value: number): void {
    this.#sources ??= new Map()
    this.#sources.set(source, value)
  }

  owned(): this {
    this.#isOwned = true
    return this
  }

  /** True when the series was told by that process alone, so that nothing is left of it. */
  removeSource(source: string): boolean {
    return this.#sources?.delete(source) === true && this.#sources.size === 0 && !this.#isOwned
  }

  get total(): number {
    let total = this.#own
    if (this.#sources) for (const value of this.#sources.values()) total += value
    return total
  }

  get isChanged(): boolean {
    return this.#isNew || this.#own !== this.#told
  }

  takeIncrement(): number {
    const increment = this.#own - this.#told
    this.takeValue()
    return increment
  }

  takeValue(): number {
    this.#isNew = false
    this.#told = this.#own
    return this.#own
  }
}
