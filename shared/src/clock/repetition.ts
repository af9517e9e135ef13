import type { Clock, Timer } from './clock.ts'

/** Work that is done again and again. Owns one timer until `stop`. */
export class Repetition {
  readonly #clock: Clock
  readonly #pauseMs: number
  readonly #work: () => Promise<void>
  #timer: Timer | undefined
  #isStopped = false

  /** `work`, which must not reject, begins `pauseMs` from now, and so long after it has ended: never twice at once. */
  constructor(clock: Clock, pauseMs: number, work: () => Promise<void>) {
    this.#clock = clock
    this.#pauseMs = pauseMs
    this.#work = work
    this.#pause()
  }

  /** For work that is under way when it is stopped. */
  get isStopped(): boolean {
    return this.#isStopped
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #pause(): void {
    if (this.#isStopped) return
    this.#timer = this.#clock.after(this.#pauseMs, () => void this.#work().then(() => this.#pause()))
  }
}
