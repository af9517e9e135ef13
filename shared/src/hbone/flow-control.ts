/**
 * What a peer may still send us, on one stream or on the connection (RFC 9113 §6.9). Credit goes back in portions of half the
 * window, so WINDOW_UPDATEs are rare.
 *
 * A window cannot be taken back, but it need not be given again: `release` with a smaller `size` lets the peer use up what it
 * has until that much is left.
 */
export class ReceiveWindow {
  readonly #size: number
  /** Received and not yet announced as credit. */
  #used = 0
  /** Of these, done with: announced next. */
  #done = 0

  constructor(size: number) {
    this.#size = size
  }

  /** False when the peer sent more than it was allowed. */
  receive(bytes: number): boolean {
    this.#used += bytes
    return this.#used <= this.#size
  }

  /** These bytes take no more room here. Returns the credit to announce now, or 0. `size` is at most the window's own. */
  release(bytes: number, size = this.#size): number {
    this.#done += bytes
    const credit = Math.min(this.#done, this.#used - (this.#size - size))
    if (credit * 2 < size) return 0
    this.#used -= credit
    this.#done -= credit
    return credit
  }

  /** Takes back a credit that was not announced after all; the next release brings it again. */
  withhold(credit: number): void {
    this.#used += credit
    this.#done += credit
  }
}
