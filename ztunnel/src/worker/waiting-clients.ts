import type { Clock } from '@ambit/shared/clock'
import type { TcpEnd } from '@ambit/shared/io'
import { isReset } from '../linux/index.ts'
import { ConnectionError } from './connection-error.ts'
import type { TrackedConnection } from './open-connections.ts'

const INTERVAL_MS = 500

/**
 * Clients whose destination is being looked for or dialled. Nobody reads their sockets meanwhile, so nobody is told that they
 * are gone: all are looked at twice a second. A client that has only ended its half may want an answer still, and waits on.
 * Bounded like the open connections, of which they are a part.
 */
export class WaitingClients {
  readonly #clock: Clock
  readonly #waiting = new Map<TcpEnd, TrackedConnection>()
  #isLooking = false
  readonly #look = (): void => {
    this.#isLooking = false
    for (const [client, connection] of this.#waiting) {
      if (!isReset(client.fd)) continue
      this.#waiting.delete(client)
      connection.close(new ConnectionError('CONNECT', 'client disconnected before its destination was reached'))
    }
    this.#lookLater()
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `connection` is closed where the client has reset it. Whoever adds a client removes it. */
  add(client: TcpEnd, connection: TrackedConnection): void {
    this.#waiting.set(client, connection)
    this.#lookLater()
  }

  remove(client: TcpEnd): void {
    this.#waiting.delete(client)
  }

  #lookLater(): void {
    if (this.#isLooking || this.#waiting.size === 0) return
    this.#isLooking = true
    this.#clock.after(INTERVAL_MS, this.#look)
  }
}
