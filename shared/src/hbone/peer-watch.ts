import type { Clock } from '../clock/index.ts'
import { Liveness } from './liveness.ts'
import type { HboneLimits } from './limits.ts'
import { RoundTrip } from './round-trip.ts'
import { SettingsExchange } from './settings-exchange.ts'

const LIVENESS_PING = Buffer.from('liveness')

export interface PeerWatchOptions {
  readonly clock: Clock
  readonly limits: HboneLimits
  readonly sendPing: (payload: Buffer) => void
  /** No SETTINGS, or no ACK of ours, in time. */
  readonly onNoSettings: () => void
  /** No answer to PING in time. */
  readonly onDead: () => void
  /** With every PING: for work that needs to be done now and then. */
  readonly onTick: () => void
}

/** Whether the peer answers what we ask, and how soon: our SETTINGS when the connection begins, PING from then on. */
export class PeerWatch {
  readonly #options: PeerWatchOptions
  readonly #liveness: Liveness
  readonly #roundTrip: RoundTrip
  #settingsExchange: SettingsExchange | undefined
  #startedMs = 0

  constructor(options: PeerWatchOptions) {
    const { clock, limits, sendPing, onDead, onTick } = options
    this.#options = options
    this.#roundTrip = new RoundTrip(clock)
    this.#liveness = new Liveness({
      clock,
      pingIntervalMs: limits.pingIntervalMs,
      pingTimeoutMs: limits.pingTimeoutMs,
      sendPing: () => sendPing(LIVENESS_PING),
      onDead,
      onTick,
    })
  }

  /** The shortest time to an answer; infinite until the first. */
  get roundTripMs(): number {
    return this.#roundTrip.ms
  }

  /** Our SETTINGS are sent now. Once. */
  start(): void {
    const { clock, limits, onNoSettings } = this.#options
    this.#startedMs = clock.monotonicMs()
    this.#settingsExchange = new SettingsExchange(clock, limits.settingsTimeoutMs, onNoSettings)
    this.#liveness.start()
  }

  /** Nobody waits for an answer any more. Idempotent. */
  stop(): void {
    this.#settingsExchange?.stop()
    this.#liveness.stop()
  }

  settingsReceived(): void {
    this.#settingsExchange?.received()
  }

  /** False where no ACK was waited for. */
  settingsAcknowledged(): boolean {
    if (this.#settingsExchange?.acknowledged() !== true) return false
    this.#roundTrip.answered(this.#startedMs)
    return true
  }

  /** False where it answers no PING of ours that is waited for. */
  pingAnswered(payload: Buffer): boolean {
    if (!payload.equals(LIVENESS_PING) || !this.#liveness.onAnswer()) return false
    this.#roundTrip.answered(this.#liveness.askedMs)
    return true
  }
}
