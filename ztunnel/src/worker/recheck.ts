import type { Clock } from '@ambit/shared/clock'
import type { TrackedConnection } from './open-connections.ts'

/** Asks about one connection again, and closes it where it is refused now. */
export type Ask = (connection: TrackedConnection) => void

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
 * The open connections of all pods of a worker that policy has to be asked about again, in slices, so that traffic goes on
 * meanwhile. Whoever waits keeps its place when another change comes: nobody is passed over by changes that come quickly.
 * What is asked is decided by the state of the moment. Holds open connections only, each once.
 */
export class Recheck {
  readonly #options: RecheckOptions
  readonly #waiting = new Map<TrackedConnection, Ask>()
  #isScheduled = false

  constructor(options: RecheckOptions) {
    this.#options = options
  }

  /** Asks about each of them soon. */
  add(connections: Iterable<TrackedConnection>, ask: Ask): void {
    for (const connection of connections) this.#waiting.set(connection, ask)
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
    const since = clock.now()
    let questions = 0
    for (const [connection, ask] of this.#waiting) {
      this.#waiting.delete(connection)
      ask(connection)
      if (++questions >= SLICE_QUESTIONS || clock.now() - since >= SLICE_MS) break
    }
    this.#schedule()
  }
}
