import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock, Timer } from '../clock/index.ts'

/** What ends a head, as the strict parser behind this takes it. */
const END = Buffer.from('\n\r\n')
const NOTHING = Buffer.alloc(0)
/** What a client may send behind that: a body, which nobody looks at, or further requests. */
const MAX_DROPPED_BYTES = 64 * 1024
/** From the begin of an answer until its client has closed, so that those which do not read cannot hold all connections. */
const ANSWER_TIMEOUT_MS = 30_000

/**
 * A connection as Node's HTTP server sees it: the head of its first request and nothing more. Left to itself the server begins
 * every request that a packet holds, 2,000 in 64 KiB. The answer ends our side; what the client still sends is read and dropped
 * until he closes, for to close before him would be a reset, which may take the answer from him. Owns the socket.
 */
export class FirstRequest extends Duplex {
  /** The address of the client. */
  readonly source: string
  readonly #socket: Socket
  readonly #clock: Clock
  /** The last two octets: the end of the head may come in pieces. */
  #tail: Buffer = NOTHING
  #hasAsked = false
  #droppedBytes = 0
  /** Of the answer, once there is one. */
  #deadline: Timer | undefined

  constructor(socket: Socket, clock: Clock) {
    super()
    this.#socket = socket
    this.#clock = clock
    this.source = socket.remoteAddress ?? ''
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => {
      // Before there is an answer this is a client that has gone. Later it says nothing, and the server, which has not seen the
      // body of a POST, would take it for an error and break the answer off.
      if (!this.#deadline) this.push(null)
    })
    socket.on('error', (error) => void this.destroy(error))
    socket.on('close', () => void this.destroy())
  }

  /** Without a request to answer: not asked yet, or answered. */
  get isIdle(): boolean {
    return !this.#hasAsked || this.writableFinished
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#deadline ??= this.#clock.after(ANSWER_TIMEOUT_MS, () => void this.destroy())
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#deadline?.cancel()
    this.#socket.destroy()
    done(error)
  }

  #take(chunk: Buffer): void {
    const length = this.#hasAsked ? 0 : this.#lengthOfHead(chunk)
    if (length > 0) this.push(chunk.subarray(0, length))
    this.#droppedBytes += chunk.length - length
    if (this.#droppedBytes > MAX_DROPPED_BYTES) this.destroy()
  }

  /** Octets of the chunk that belong to the head. */
  #lengthOfHead(chunk: Buffer): number {
    const seen = Buffer.concat([this.#tail, chunk])
    const end = seen.indexOf(END)
    this.#hasAsked = end >= 0
    const length = this.#hasAsked ? end + END.length - this.#tail.length : chunk.length
    this.#tail = seen.subarray(1 - END.length)
    return length
  }
}
