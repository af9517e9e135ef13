import { Cancellation, type CancelSignal } from '@ambit/shared/cancellation'
import { NOWHERE } from '@ambit/shared/collections'
import type { ConnectionSummary } from '../messages.ts'
import type { ConnectionFailure } from './connection-failure.ts'
import type { TrackedConnection } from './open-connections.ts'

/**
 * A connection of the pod for which it is not known yet where it goes: among the open ones, so that it ends with the pod and is
 * in the config dump, but in no metric. Whoever adds it removes it when that is known.
 */
export class PendingConnection implements TrackedConnection {
  readonly direction = 'outbound'
  readonly facts = undefined
  readonly summarise: () => ConnectionSummary
  place = NOWHERE
  readonly #cancellation = new Cancellation()

  constructor(summarise: () => ConnectionSummary) {
    this.summarise = summarise
  }

  /** Aborted with the reason of `close`. */
  get signal(): CancelSignal {
    return this.#cancellation
  }

  close(reason: ConnectionFailure): void {
    this.#cancellation.abort(reason)
  }
}
