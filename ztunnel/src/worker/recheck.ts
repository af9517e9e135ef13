import type { Clock } from '@ambit/shared/clock'

export interface RecheckOptions {
  readonly clock: Clock
  /** Runs it soon, after what else is to be done: setImmediate. */
  readonly soon: (run: () => void) => void
}

/** How long a slice may keep the worker from its traffic; a question may take up to a millisecond. */
const SLICE_MS = 4
/** Questions in a slice, whatever the clock says. */
const SLICE_QUESTIONS = 256

/**
 * What is open in all pods of a worker and has to be asked about again: connections when policy has changed, tunnels when
 * the revocation lists have. In slices, so that traffic goes on meanwhile. Whoever waits keeps its place when another change
 * comes: nobody is passed over by changes that come quickly. What is asked is decided by the state of the moment. Holds what
 * was open when the change came, each once.
 */
export class Recheck {
  readonly #options: RecheckOptions
  readonly #waiting = new Map<object, () => void>()
  #isScheduled = false

  constructor(options: RecheckOptions) {
    this.#options = options
  }

  /** Soon `ask` is called with each of them, which ends it where it is refused now. One kind of thing, one `ask`. */
  add<T extends object>(open: Iterable<T>, ask: (one: T) => void): void {
    for (const one of open) this.#waiting.set(one, () => ask(one))
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return
    this.#isScheduled = true
    this.#options.soon(() => this.#slice())
  }

  #slice(): void {
    this.#isScheduled = false
    const { clock } = this.#options
    const since = clock.monotonicMs()
    let questions = 0
    for (const [one, ask] of this.#waiting) {
      this.#waiting.delete(one)
      ask()
      if (++questions >= SLICE_QUESTIONS || clock.monotonicMs() - since >= SLICE_MS) break
    }
    this.#schedule()
  }
}
