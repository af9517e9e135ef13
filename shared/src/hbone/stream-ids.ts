/** The ids of the streams that the client of a connection has opened, counted by either end (RFC 9113 §5.1.1). */
export class StreamIds {
  /** 0 before the first. */
  highest = 0
  /** The ids between these two were passed over, when that last happened. No client that is known does it. */
  #gapAfter = 0
  #gapBefore = 0

  /** Client: opens the next one. */
  next(): number {
    this.highest = this.highest === 0 ? 1 : this.highest + 2
    return this.highest
  }

  /** Server: the client opens `id`, which is above `highest`. */
  open(id: number): void {
    if (id > this.highest + 2) {
      this.#gapAfter = this.highest
      this.#gapBefore = id
    }
    this.highest = id
  }

  /** Was never used: a frame on it is a violation. Only clients open streams here. */
  isIdle(id: number): boolean {
    return id % 2 === 0 || id > this.highest
  }

  /**
   * `id` was passed over and never opened. Only the last gap is remembered: for an id in an older one the answer is false, so
   * that a client that leaves gaps on purpose costs no memory.
   */
  wasPassedOver(id: number): boolean {
    return id > this.#gapAfter && id < this.#gapBefore
  }
}
