/**
 * What a peer may still send us, on one stream or on the connection (RFC 9113 §6.9). Credit goes back in portions of half the
 * window, so WINDOW_UPDATEs are rare.
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

  /** These bytes take no more room here. Returns the credit to announce now, or 0. */
  release(bytes: number): number {
    this.#done += bytes
    if (this.#done * 2 < this.#size) return 0
    const credit = this.#done
    this.#used -= credit
    this.#done = 0
    return credit
  }

  /** Takes back a credit that was not announced after all; the next release brings it again. */
  withhold(credit: number): void {
    this.#used += credit
    this.#done += credit
  }
}
