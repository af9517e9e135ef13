import type { Clock, Timer } from '../clock/index.ts'

export interface LivenessOptions {
  readonly clock: Clock
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  readonly sendPing: () => void
  /** No answer in time. Called once, at the end. */
  readonly onDead: () => void
  /** Every interval: for work that needs to be done now and then. */
  readonly onTick: () => void
}

/** PING keepalive: wait, ping, wait for the answer, begin again. Data does not count as a sign of life. */
export class Liveness {
  readonly #options: LivenessOptions
  #timer: Timer | undefined
  #isWaiting = false
  #askedMs = 0

  constructor(options: LivenessOptions) {
    this.#options = options
  }

  /** When the last PING was sent, in monotonic milliseconds. */
  get askedMs(): number {
    return this.#askedMs
  }

  start(): void {
    const { clock, pingIntervalMs, pingTimeoutMs, onDead, onTick, sendPing } = this.#options
    this.#isWaiting = false
    this.#timer = clock.after(pingIntervalMs, () => {
      this.#isWaiting = true
      this.#askedMs = clock.monotonicMs()
      this.#timer = clock.after(pingTimeoutMs, onDead)
      sendPing()
      onTick()
    })
  }

  /** The answer to sendPing has come. False where none was waited for. */
  onAnswer(): boolean {
    if (!this.#isWaiting) return false
    this.stop()
    this.start()
    return true
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#isWaiting = false
  }
}
