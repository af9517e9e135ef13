import type { Clock, Timer } from './clock.ts'

interface Pending {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/** A clock for tests: time moves only by `advance`, which runs the timers that fall due, in order. */
export class FakeClock implements Clock {
  readonly #pending = new Set<Pending>()
  #now: number
  /** How far the wall clock is ahead. */
  #aheadMs = 0
  #order = 0

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs
  }

  /** Timers not yet fired nor cancelled; a test ends with 0. */
  get pendingTimers(): number {
    return this.#pending.size
  }

  /** How many of them fire within that time. */
  pendingWithin(ms: number): number {
    return [...this.#pending].filter(({ at }) => at <= this.#now + ms).length
  }

  now(): number {
    return this.#now + this.#aheadMs
  }

  monotonicMs(): number {
    return this.#now
  }

  /** Somebody sets the wall clock, ahead or back. No time passes. */
  stepWallClock(byMs: number): void {
    this.#aheadMs += byMs
  }

  after(delayMs: number, run: () => void): Timer {
    const entry: Pending = { at: this.#now + Math.max(delayMs, 0), order: this.#order++, run }
    this.#pending.add(entry)
    return { cancel: () => void this.#pending.delete(entry) }
  }

  /** Moves time on; between timers, promises get the chance to settle. */
  async advance(byMs: number): Promise<void> {
    const until = this.#now + byMs
    await settle()
    for (let next = this.#nextDue(until); next; next = this.#nextDue(until)) {
      this.#pending.delete(next)
      this.#now = next.at
      next.run()
      await settle()
    }
    this.#now = until
  }

  #nextDue(until: number): Pending | undefined {
    let first: Pending | undefined
    for (const entry of this.#pending) {
      if (entry.at > until) continue
      if (!first || entry.at < first.at || (entry.at === first.at && entry.order < first.order)) first = entry
    }
    return first
  }
}

/** One full turn of the event loop: everything already resolved has run its continuations. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve)
  })
}
