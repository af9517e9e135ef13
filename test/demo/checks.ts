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

  constructor(tell: (check: Check) => void) {
    this.#tell = tell
  }

  get failed(): readonly Check[] {
    return this.made.filter(({ ok }) => !ok)
  }

  /** Makes one check; what it throws is what was observed. */
  async make(name: string, look: () => Promise<{ readonly ok: boolean; readonly observed: string }>): Promise<void> {
    let check: Check
    try {
      check = { name, ...(await look()) }
    } catch (error) {
      check = { name, ok: false, observed: error instanceof Error ? error.message : String(error) }
    }
    this.made.push(check)
    this.#tell(check)
  }
}
