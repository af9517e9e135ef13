import { Cancellation, type CancelSignal } from '@ambit/shared/cancellation'
import { NOWHERE } from '@ambit/shared/collections'
import type { Splice } from '@ambit/shared/io'
import type { ConnectionFacts } from '@ambit/shared/policy'
import type { OpenConnection } from '@ambit/shared/telemetry'
import type { ConnectionSummary } from '../messages.ts'
import { failure, type ConnectionFailure } from './connection-failure.ts'
import type { OpenConnections, TrackedConnection } from './open-connections.ts'

/**
 * One connection's entry in the books: registered before policy is asked, so that no policy change can fall between the
 * question and the registration, and removed by `end`, which also writes the access line.
 */
export class CarriedConnection implements TrackedConnection {
  readonly direction: 'inbound' | 'outbound'
  readonly summarise: () => ConnectionSummary
  readonly facts: ConnectionFacts | undefined
  place = NOWHERE
  readonly #connections: OpenConnections
  readonly #record: OpenConnection
  readonly #cancellation = new Cancellation()
  #splice: Splice | undefined
  #closedFor: ConnectionFailure | undefined
  #isReset = false

  constructor(
    connections: OpenConnections,
    record: OpenConnection,
    entry: Pick<CarriedConnection, 'direction' | 'summarise' | 'facts'>,
  ) {
    this.direction = entry.direction
    this.summarise = entry.summarise
    this.facts = entry.facts
    this.#connections = connections
    this.#record = record
    connections.add(this)
  }

  /** Aborted when the connection is closed from outside: policy, drain, removal of the pod. */
  get signal(): CancelSignal {
    return this.#cancellation
  }

  /** Ends it at once, whatever it is doing. The first reason counts. */
  close(reason: ConnectionFailure, reset = false): void {
    this.#closedFor ??= reason
    this.#isReset ||= reset
    this.#cancellation.abort(reason)
    this.#splice?.abort(reset)
  }

  /** Carries bytes until both directions ended. Rejects with the first real error, or with the reason of `close`. */
  async carry(splice: Splice): Promise<void> {
    this.#splice = splice
    this.#record.attach(splice)
    if (this.#closedFor) splice.abort(this.#isReset)
    await splice.finished
    if (this.#closedFor) throw this.#closedFor
  }

  /** Exactly once, on every path. */
  end(thrown?: unknown): void {
    this.#connections.remove(this)
    this.#record.finish(thrown === undefined ? 'success' : failure(this.#closedFor ?? thrown))
  }
}
