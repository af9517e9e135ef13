import type { Clock } from '../clock/index.ts'

/** How far away the peer is: the shortest time from a question of ours (SETTINGS, PING) to its answer. */
export class RoundTrip {
  readonly #clock: Clock
  #shortestMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Infinite until the first answer. */
  get ms(): number {
    return this.#shortestMs
  }

  /** What was sent then has come to the peer, and an answer back. */
  answered(sentMs: number): void {
    const tookMs = this.#clock.now() - sentMs
    // Below 0 the wall clock was set back meanwhile.
    if (tookMs >= 0) this.#shortestMs = Math.min(this.#shortestMs, tookMs)
  }
}
