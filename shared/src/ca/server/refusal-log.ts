import type { Clock, Timer } from '../../clock/index.ts'
import type { Log } from '../../log/index.ts'

const PERIOD_MS = 1_000
const MAX_LINES_PER_SOURCE = 5
const MAX_SOURCES = 20
/** All sources beyond those count as this one. */
const OTHERS = 'others'

/** What is told of a refusal. */
export interface Refusal {
  readonly reason: string
  /** The identity that the caller asked for, where that is known. */
  readonly wanted?: string | undefined
  /** Address and port of the caller. */
  readonly peer: string
}

/**
 * Writes why calls were refused: five lines a second for each of twenty addresses and five for all others together, and at the
 * end of the second how many more there were, so that who tries tokens does not fill the log. Owns a timer until `close`.
 */
export class RefusalLog {
  readonly #clock: Clock
  readonly #log: Log
  /** Refusals of this second by source. */
  readonly #counts = new Map<string, number>()
  #timer: Timer | undefined

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  add(refusal: Refusal): void {
    this.#timer ??= this.#clock.after(PERIOD_MS, () => this.#tellRest())
    const address = addressOf(refusal.peer)
    const source = this.#counts.has(address) || this.#counts.size < MAX_SOURCES ? address : OTHERS
    const count = (this.#counts.get(source) ?? 0) + 1
    this.#counts.set(source, count)
    if (count <= MAX_LINES_PER_SOURCE) this.#log.warn('certificate refused', { ...refusal })
  }

  /** Tells what was not told yet. */
  close(): void {
    this.#timer?.cancel()
    this.#tellRest()
  }

  #tellRest(): void {
    for (const [source, count] of this.#counts) {
      const untold = count - MAX_LINES_PER_SOURCE
      if (untold > 0) this.#log.warn('more calls refused within a second', { peer: source, count: untold })
    }
    this.#counts.clear()
    this.#timer = undefined
  }
}

/** Without its port. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'))
}
