import { constants } from 'node:os'

/** What asks a program to end. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * The end of a program before its end: on a signal, or when nobody reads what it says any more (SIGPIPE, which Node turns into an
 * error), it cleans up and ends with 128 and the signal's number, as shells say it.
 */
export class Interruption {
  readonly #cleanUp: () => Promise<unknown>
  #hasBegun = false

  constructor(cleanUp: () => Promise<unknown>) {
    this.#cleanUp = cleanUp
    for (const signal of SIGNALS) process.on(signal, () => this.begin(128 + constants.signals[signal]))
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error
        this.begin(128 + constants.signals.SIGPIPE)
      })
    }
  }

  /** Once more changes nothing: cleaning up takes seconds. */
  begin(exitCode: number): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    process.stderr.write('\ninterrupted: cleaning up …\n')
    void this.#cleanUp().finally(() => process.exit(exitCode))
  }

  /** Resolves at once, or never where an interruption has begun: what goes wrong from then on means nothing. */
  async pass(): Promise<void> {
    if (this.#hasBegun) await new Promise(() => {})
  }
}
