import type { Socket } from 'node:net'
import { ConnectionSlots, type HeldConnection } from '../../collections/index.ts'
import { canonicalAddress } from '../../ip/index.ts'

/** Both ends of a connection, which no two open ones share; gRPC tells them of each call. */
export interface ConnectionEnds {
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

/** A connection to the CA: that of a stranger, until a call on it has shown a token that is known. Owns the socket. */
export class CallerConnection implements HeldConnection {
  readonly source: string
  readonly #socket: Socket
  readonly #maxRefusals: number
  #refusals = 0
  #isKnown = false

  constructor(socket: Socket, maxRefusals: number) {
    this.#socket = socket
    this.#maxRefusals = maxRefusals
    this.source = canonicalAddress(socket.remoteAddress ?? '')
  }

  /** Strangers make room before others. */
  get isIdle(): boolean {
    return !this.#isKnown
  }

  markKnown(): void {
    this.#isKnown = true
  }

  /** True once a stranger had so many that he should go: whoever tries token after token has to connect anew. */
  countRefusal(): boolean {
    this.#refusals++
    return !this.#isKnown && this.#refusals >= this.#maxRefusals
  }

  destroy(): void {
    this.#socket.destroy()
  }

  once(event: 'close', listener: () => void): void {
    this.#socket.once(event, listener)
  }
}

export interface CallerConnectionsOptions {
  /** Open at the same time; for one more an old one goes, see ConnectionSlots. */
  readonly max: number
  /** Refused calls of a stranger, then he should go. */
  readonly maxRefusals: number
}

/** The open connections of the CA. */
export class CallerConnections {
  readonly #slots: ConnectionSlots
  readonly #maxRefusals: number
  readonly #open = new Map<string, CallerConnection>()

  constructor({ max, maxRefusals }: CallerConnectionsOptions) {
    this.#slots = new ConnectionSlots(max)
    this.#maxRefusals = maxRefusals
  }

  add(socket: Socket): void {
    const connection = new CallerConnection(socket, this.#maxRefusals)
    const key = keyOf(socket)
    this.#slots.take(connection)
    this.#open.set(key, connection)
    connection.once('close', () => {
      if (this.#open.get(key) === connection) this.#open.delete(key)
    })
  }

  /** Undefined where it has ended. */
  find(ends: ConnectionEnds): CallerConnection | undefined {
    return this.#open.get(keyOf(ends))
  }

  destroyAll(): void {
    for (const connection of this.#open.values()) connection.destroy()
  }
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: ConnectionEnds): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`
}
