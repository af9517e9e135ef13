import { once } from 'node:events'
import * as http2 from 'node:http2'
import type { TLSSocket } from 'node:tls'

/** A well-behaved client (node:http2) with one tunnel to an echo, which it uses all the time. */
export class GoodPeer {
  /** Round trips so far. */
  echoes = 0
  #isStopped = false
  readonly #session: http2.ClientHttp2Session
  readonly #stream: http2.ClientHttp2Stream
  readonly #loop: Promise<void>

  private constructor(session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream) {
    this.#session = session
    this.#stream = stream
    this.#loop = this.#exchange()
    this.#loop.catch(() => {}) // stop() tells
  }

  static async connect(socket: TLSSocket): Promise<GoodPeer> {
    const session = http2.connect('https://victim', { createConnection: () => socket })
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'echo:1' }, { endStream: false })
    await once(stream, 'response')
    return new GoodPeer(session, stream)
  }

  /** One more round trip, then an orderly end. Rejects when any round trip failed. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#loop
    await this.#roundTrip()
    this.#stream.end()
    this.#stream.resume()
    await once(this.#stream, 'close')
    const closed = new Promise((resolve) => {
      this.#session.once('close', resolve)
    })
    this.#session.close()
    await closed
  }

  async #exchange(): Promise<void> {
    while (!this.#isStopped) {
      await this.#roundTrip()
      await new Promise((resolve) => {
        setImmediate(resolve)
      })
    }
  }

  async #roundTrip(): Promise<void> {
    const answer = once(this.#stream, 'data')
    const lost = new AbortController()
    const gone = once(this.#session, 'close', { signal: lost.signal }).then(() => {
      throw new Error('the good peer lost its connection')
    })
    gone.catch(() => {})
    this.#stream.write('are you there?')
    await Promise.race([answer, gone])
    lost.abort()
    this.echoes++
  }
}
