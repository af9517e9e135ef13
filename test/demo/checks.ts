/** One thing that the demo shows: what was looked at, whether it is as it must be, and what was seen. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly observed: string
}

/** Collects the checks as they are made and tells each of them at once. */
export class Checks {
  readonly made: Check[] = []
  readonly #tell: (check: Check) => void
  /** See `interrupt`. */
  isInterrupted = false

  constructor(tell: (check: Check) => void) {
    this.#tell = tell
  }

  get failed(): readonly Check[] {
    return this.made.filter(({ ok }) => !ok)
  }

  /** From now on nothing is looked at and nothing told: what is looked at now goes away under its hands. */
  interrupt(): void {
    this.isInterrupted = true
  }

  /** Makes one check; what it throws is what was observed. */
  async make(name: string, look: () => Promise<{ readonly ok: boolean; readonly observed: string }>): Promise<void> {
    if (this.isInterrupted) return
    try {
      this.add({ name, ...(await look()) })
    } catch (error) {
      this.add({ name, ok: false, observed: error instanceof Error ? error.message : String(error) })
    }
  }

  /** A check that was made elsewhere. */
  add(check: Check): void {
    if (this.isInterrupted) return
    this.made.push(check)
    this.#tell(check)
  }
}
