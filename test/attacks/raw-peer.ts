import { once } from 'node:events'
import type { TLSSocket } from 'node:tls'
import { Type } from './raw-frames.ts'

export interface ReceivedFrame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** One end of an HTTP/2 connection in the hands of a test: sends any bytes, notes what comes back, answers nothing by itself. */
export class RawPeer {
  readonly socket: TLSSocket
  /** All but DATA, of which only the amount is kept. */
  readonly frames: ReceivedFrame[] = []
  dataBytes = 0
  /** Resolves when the connection is closed, however. */
  readonly closed: Promise<void>
  /** Called for every frame; for a peer that answers. */
  onFrame: (frame: ReceivedFrame) => void = () => {}
  #rest: Buffer = Buffer.alloc(0)
  /** A server first reads the client's 24 octets. */
  #prefaceLeft: number

  constructor(socket: TLSSocket, role: 'client' | 'server') {
    this.socket = socket
    this.#prefaceLeft = role === 'server' ? 24 : 0
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve())
    })
    socket.on('error', () => {}) // resets are expected here
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
  }

  get isClosed(): boolean {
    return this.socket.destroyed
  }

  /** The code of the last GOAWAY received; undefined if there was none. */
  get goawayCode(): number | undefined {
    return this.of(Type.goaway).at(-1)?.payload.readUInt32BE(4)
  }

  of(type: number): ReceivedFrame[] {
    return this.frames.filter((frame) => frame.type === type)
  }

  /** Streams that were answered with RST_STREAM, with the code. */
  get resets(): { stream: number; code: number }[] {
    return this.of(Type.reset).map(({ stream, payload }) => ({ stream, code: payload.readUInt32BE(0) }))
  }

  /** Writes; waits while the peer does not read. Does nothing once the connection is gone. */
  async send(...frames: Buffer[]): Promise<void> {
    if (!this.socket.writable) return
    if (this.socket.write(Buffer.concat(frames))) return
    const stop = new AbortController()
    const { signal } = stop
    await Promise.race([once(this.socket, 'drain', { signal }), this.closed]).catch(() => {})
    stop.abort()
  }

  /** Sends `make(0)`, `make(1)` … in batches until `count` or until the peer has ended the connection. Returns how many. */
  async flood(count: number, make: (i: number) => Buffer, batch = 200): Promise<number> {
    let sent = 0
    while (sent < count && this.socket.writable && this.goawayCode === undefined) {
      const frames: Buffer[] = []
      for (let i = 0; i < batch && sent < count; i++) frames.push(make(sent++))
      await this.send(...frames)
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
    return sent
  }

  destroy(): void {
    this.socket.destroy()
  }

  #read(bytes: Buffer): void {
    let all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    if (this.#prefaceLeft > 0) {
      const skipped = Math.min(this.#prefaceLeft, all.length)
      this.#prefaceLeft -= skipped
      all = all.subarray(skipped)
    }
    while (all.length >= 9) {
      const length = all.readUIntBE(0, 3)
      if (all.length < 9 + length) break
      this.#take({
        type: all.readUInt8(3),
        flags: all.readUInt8(4),
        stream: all.readUInt32BE(5),
        payload: Buffer.from(all.subarray(9, 9 + length)),
      })
      all = all.subarray(9 + length)
    }
    this.#rest = all
  }

  #take(frame: ReceivedFrame): void {
    if (frame.type === Type.data) this.dataBytes += frame.payload.length
    else this.frames.push(frame)
    this.onFrame(frame)
  }
}
