import type { Clock } from '@ambit/shared/clock'
import { NOWHERE, PlacedSet, type Placed } from '@ambit/shared/collections'
import type { TcpEnd } from '@ambit/shared/io'
import { isReset } from '../linux/index.ts'
import { ConnectionFailure } from './connection-failure.ts'
import type { TrackedConnection } from './open-connections.ts'

const INTERVAL_MS = 500

/** A client and its connection, which is closed where the client has reset it. */
export interface WaitingClient extends Placed {
  readonly client: TcpEnd
  readonly connection: TrackedConnection
}

/**
 * Clients whose destination is being looked for or dialled. Nobody reads their sockets meanwhile, so nobody is told that they
 * are gone: all are looked at twice a second. A client that has only ended its half may want an answer still, and waits on.
 * Bounded like the open connections, of which they are a part.
 */
export class WaitingClients {
  readonly #clock: Clock
  readonly #waiting = new PlacedSet<WaitingClient>()
  #isLooking = false
  readonly #look = (): void => {
    this.#isLooking = false
    for (const waiting of this.#waiting.list()) {
      if (!isReset(waiting.client.fd)) continue
      this.#waiting.delete(waiting)
      waiting.connection.close(
        new ConnectionFailure('CONNECT', 'client disconnected before its destination was reached'),
      )
    }
    this.#lookLater()
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whoever adds a client removes what it got here. */
  add(client: TcpEnd, connection: TrackedConnection): WaitingClient {
    const waiting = { client, connection, place: NOWHERE }
    this.#waiting.add(waiting)
    this.#lookLater()
    return waiting
  }

  remove(waiting: WaitingClient): void {
    this.#waiting.delete(waiting)
  }

  #lookLater(): void {
    if (this.#isLooking || this.#waiting.size === 0) return
    this.#isLooking = true
    this.#clock.after(INTERVAL_MS, this.#look)
  }
}
