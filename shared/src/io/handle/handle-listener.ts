import type { TcpEnd, TcpListener } from '../byte-io.ts'
import { closeWhenQuiet } from '../close-when-quiet.ts'
import { IoError, errnoName } from '../io-error.ts'
import type { HandleMemory } from './handle-memory.ts'
import { HandleTcp } from './handle-tcp.ts'
import type { TcpHandle } from './node-bindings.ts'
import { remoteOf } from './read-address.ts'

/** Accepts on a raw listening handle: no net.Server, no net.Socket per connection. */
export class HandleListener implements TcpListener {
  readonly #memory: HandleMemory
  readonly #handle: TcpHandle
  readonly #onAccept: (end: TcpEnd) => void
  readonly #backlog: number
  #accepted = 0
  /** Connections taken from the queue, dead ones included. */
  #events = 0
  #isClosing = false
  readonly #closed = Promise.withResolvers<void>()

  /** Throws IoError when the handle cannot listen. */
  constructor(memory: HandleMemory, handle: TcpHandle, backlog: number, onAccept: (end: TcpEnd) => void) {
    this.#memory = memory
    this.#handle = handle
    this.#onAccept = onAccept
    this.#backlog = backlog
    handle.onconnection = (status, client) => this.#accept(status, client)
    // Accepted sockets inherit it: one call here instead of one for each of them.
    handle.setNoDelay(true)
    const status = handle.listen(backlog)
    if (status !== 0) {
      handle.close()
      throw IoError.ofErrno(errnoName(status), 'listen')
    }
  }

  get accepted(): number {
    return this.#accepted
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    const close = (): void => {
      this.#handle.close()
      this.#closed.resolve()
    }
    closeWhenQuiet(() => this.#events, close, this.#backlog)
  }

  #accept(status: number, client: TcpHandle | undefined): void {
    this.#events++
    // A negative status (out of descriptors): libuv has dropped what waited, by means of a descriptor it keeps in reserve.
    if (status !== 0 || client === undefined) return
    const remote = remoteOf(client, this.#memory.names)
    if (remote === undefined) {
      // Reset while it waited in the queue.
      client.close()
      return
    }
    this.#accepted++
    this.#onAccept(new HandleTcp(this.#memory, client, remote))
  }
}
