/** What still has to happen before the program is ready. Tasks are few and named in the code. */
export class Readiness {
  readonly #pending = new Set<string>()
  readonly #onReady: (() => void) | undefined

  /** `onReady` is called each time that nothing is pending any more. */
  constructor(onReady?: () => void) {
    this.#onReady = onReady
  }

  /** The program is not ready until `done` is called with the same name. */
  begin(name: string): void {
    this.#pending.add(name)
  }

  done(name: string): void {
    if (this.#pending.delete(name) && this.isReady) this.#onReady?.()
  }

  get isReady(): boolean {
    return this.#pending.size === 0
  }

  /** Names of what is pending, in alphabetical order. */
  get pending(): readonly string[] {
    return [...this.#pending].sort()
  }
}
