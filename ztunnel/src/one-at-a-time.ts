/** Runs one thing after the other, in the order of asking. One that fails keeps none of those that wait from their turn. */
export class OneAtATime {
  /** The end of what is under way and waiting. */
  #last: Promise<unknown> = Promise.resolve()

  /** Resolves or rejects as `work` does. How much waits is up to those who ask. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {}) // whoever asked for it is told
    return result
  }
}
