import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

/** What ends the head of a request and the last of its chunks; bodies may have it, too, where to cut does no harm. */
const END = '\n\r\n'
const NOTHING = Buffer.alloc(0)

/**
 * A connection as Node's HTTP server sees it: request by request. Left to itself the server begins every request that
 * a packet holds, 2,000 in 64 KiB, and answers all of them before it looks whether any answer is read. Owns the socket.
 */
export class RequestGate extends Duplex {
  /** The address of the client. */
  readonly source: string
  readonly #socket: Socket
  readonly #underWay = new Map<ServerResponse, IncomingMessage>()
  /** Read and not yet passed on: 64 KiB, and as much in the socket's own buffer, for meanwhile nothing more is read. */
  #ahead: Buffer = NOTHING
  #isWanted = false

  constructor(socket: Socket) {
    // More than one piece in the stream's own buffer would pass whatever is under way.
    super({ readableHighWaterMark: 1 })
    this.#socket = socket
    this.source = socket.remoteAddress ?? ''
    socket.on('data', (chunk: Buffer) => {
      socket.pause()
      this.#ahead = this.#ahead.length === 0 ? chunk : Buffer.concat([this.#ahead, chunk])
      this.#pass()
    })
    socket.on('end', () => void this.push(null))
    socket.on('timeout', () => void this.emit('timeout'))
    socket.on('error', (error) => void this.destroy(error))
    socket.on('close', () => void this.destroy())
  }

  /** Without a request to answer. */
  get isIdle(): boolean {
    return this.#underWay.size === 0
  }

  /** Reads no further request until this one is answered; its body it does read. */
  admit(request: IncomingMessage, response: ServerResponse): void {
    this.#underWay.set(response, request)
    response.once('close', () => {
      this.#underWay.delete(response)
      this.#pass()
    })
  }

  /** The server's limit for idle connections. */
  setTimeout(ms: number): this {
    this.#socket.setTimeout(ms)
    return this
  }

  /** How the server ends a connection behind its last answer: it does not wait for the client to close. */
  destroySoon(): void {
    this.end(() => void this.destroy())
  }

  override _read(): void {
    // Later, for what is passed on during this call comes before the piece that is just being taken.
    process.nextTick(() => {
      this.#isWanted = true
      this.#pass()
    })
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done)
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork()
    for (const { chunk } of chunks.slice(0, -1)) this.#socket.write(chunk)
    this.#socket.write(chunks.at(-1)?.chunk ?? NOTHING, done)
    this.#socket.uncork()
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#ahead = NOTHING
    this.#socket.destroy()
    done(error)
  }

  #pass(): void {
    if (this.destroyed) return
    if (this.#ahead.length === 0) {
      this.#socket.resume()
      return
    }
    if (!this.#isWanted || this.#isHeld()) return
    this.#isWanted = false
    const end = this.#ahead.indexOf(END)
    const length = end < 0 ? this.#ahead.length : end + END.length
    const piece = this.#ahead.subarray(0, length)
    this.#ahead = this.#ahead.subarray(length)
    this.push(piece)
  }

  #isHeld(): boolean {
    for (const request of this.#underWay.values()) if (request.complete) return true
    return false
  }
}
