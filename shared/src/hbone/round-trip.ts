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

  /** What was sent then, in monotonic milliseconds, has come to the peer, and an answer back. */
  answered(sentMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, this.#clock.monotonicMs() - sentMs)
  }
}
