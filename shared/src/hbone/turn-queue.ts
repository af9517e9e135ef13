/**
 * How far one may catch up after turns that it could not use, because its application had nothing ready just then.
 * Without it, streams whose sender is slow to be scheduled fell behind by a quarter (8 bulk streams, two busy cores).
 */
const MAX_LAG_BYTES = 1_048_576

/** Who has turns: a stream that sends. */
export interface TurnTaker {
  /** Bytes that it had its turns for, on a scale that all takers of a queue share. */
  served: number
}

/** Those that wait for a turn, at most one entry for each. Who was served least is next; of equals, who waits longest. */
export class TurnQueue<Taker extends TurnTaker> {
  #waiting: Taker[] = []
  #level = 0

  /** Where a new taker begins to be counted: the most that one was served when it had a turn. */
  get level(): number {
    return this.#level
  }

  get length(): number {
    return this.#waiting.length
  }

  add(taker: Taker): void {
    this.#waiting.push(taker)
  }

  /** It waits no more, if it did. */
  remove(taker: Taker): void {
    const at = this.#waiting.indexOf(taker)
    if (at >= 0) this.#waiting.splice(at, 1)
  }

  clear(): void {
    this.#waiting = []
  }

  /** Takes out the one that is next. Few wait at a time: streams that send bulk. */
  next(): Taker | undefined {
    let best = 0
    for (let i = 1; i < this.#waiting.length; i++) {
      if ((this.#waiting[i]?.served ?? 0) < (this.#waiting[best]?.served ?? 0)) best = i
    }
    return this.#waiting.splice(best, 1)[0]
  }

  /** `taker` has a turn now. */
  began(taker: Taker): void {
    this.#level = Math.max(this.#level, taker.served)
  }

  /** `taker` has something to send again: it catches up with the others only so far. */
  returned(taker: Taker): void {
    if (taker.served < this.#level - MAX_LAG_BYTES) taker.served = this.#level - MAX_LAG_BYTES
  }
}
