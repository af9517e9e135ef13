import type { Clock, Timer } from '../clock/index.ts'

/**
 * Waits for both halves of the exchange that begins a connection: the peer's SETTINGS and its ACK of ours (RFC 9113 §6.5.3).
 * Calls `onTimeout` where they have not come in time.
 */
export class SettingsExchange {
  readonly #timer: Timer
  #missesSettings = true
  #missesAck = true

  constructor(clock: Clock, timeoutMs: number, onTimeout: () => void) {
    this.#timer = clock.after(timeoutMs, onTimeout)
  }

  received(): void {
    this.#missesSettings = false
    this.#cancelIfDone()
  }

  /** False where that was not waited for: our SETTINGS are sent once. */
  acknowledged(): boolean {
    if (!this.#missesAck) return false
    this.#missesAck = false
    this.#cancelIfDone()
    return true
  }

  /** The connection ends; nobody waits any more. */
  stop(): void {
    this.#timer.cancel()
  }

  #cancelIfDone(): void {
    if (!this.#missesSettings && !this.#missesAck) this.#timer.cancel()
  }
}
