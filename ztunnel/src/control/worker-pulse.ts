import type { ToWorker } from '../messages.ts'

/**
 * Whether a worker lives, told by its channel. A sign of life is a message from it, or that it reads: where messages waited for
 * room in the channel, that one of them went. One that waits for nothing does not count, for a channel takes some 200 KB that
 * nobody reads.
 */
export class WorkerPulse {
  /** Messages that the channel has not taken. */
  #waiting = 0
  #hasTaken = false
  #hasSpoken = false
  /** Something waited at the last look. */
  #hasWaited = false
  #looksWithout = 0
  #bytes = 0

  /** Bytes of the messages that came since a look that found no sign of life. */
  get bytesInVain(): number {
    return this.#bytes
  }

  /** A message is given to the channel; to be called when the channel has taken it. */
  sending(message: ToWorker): () => void {
    this.#waiting++
    // To measure costs as much as to send, so it is done for nobody who lives.
    if (this.#looksWithout > 0) this.#bytes += JSON.stringify(message).length
    return () => {
      this.#waiting--
      this.#hasTaken = true
    }
  }

  /** It has sent a message. */
  spoke(): void {
    this.#hasSpoken = true
  }

  /** To be called now and then, while the worker has something to answer. How many looks in a row found no sign of life. */
  look(): number {
    const lives = this.#hasSpoken || (this.#hasWaited && this.#hasTaken)
    this.#looksWithout = lives ? 0 : this.#looksWithout + 1
    if (lives) this.#bytes = 0
    this.#hasSpoken = false
    this.#hasTaken = false
    this.#hasWaited = this.#waiting > 0
    return this.#looksWithout
  }
}
