import { Cancellation, type CancelSignal } from '../cancellation/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { Splice, TcpEnd } from '../io/index.ts'
import type { SocketAddress } from '../ip/index.ts'
import type { ConnectRequest } from './connect-request.ts'
import { ErrorCode } from './error-code.ts'
import { responseBlock } from './header-block.ts'
import { HboneError } from './hbone-error.ts'
import type { HeaderField } from './hpack/index.ts'
import { TunnelSplice } from './tunnel-splice.ts'
import type { StreamHead, TunnelStream } from './tunnel-stream.ts'

/** Who is at the other end of the connection that a tunnel came on. */
export interface TunnelConnection {
  readonly remote: SocketAddress
  readonly local: SocketAddress
  readonly peer: SpiffeId | undefined
}

/** How a CONNECT is accepted. */
export interface AcceptOptions {
  /** Written to the application before the first byte of the tunnel: a PROXY header. */
  readonly prelude?: Buffer
}

/** Header names and values of a 200 without any: encoded once. */
const PLAIN_OK = responseBlock(200, [])

/**
 * A CONNECT that was received. Its holder must do exactly one of: accept, reject, reset. Of later calls, reject and reset have no
 * effect and accept throws.
 */
export class IncomingTunnel implements StreamHead {
  readonly connection: TunnelConnection
  readonly method: string
  /** As sent, not yet parsed. Always there for CONNECT. */
  readonly authority: string | undefined
  readonly #request: ConnectRequest
  readonly #stream: TunnelStream
  #aborted: Cancellation | undefined
  #loss: HboneError | undefined
  #isAnswered = false

  constructor(connection: TunnelConnection, stream: TunnelStream, request: ConnectRequest) {
    this.connection = connection
    this.method = request.method
    this.authority = request.authority
    this.#request = request
    this.#stream = stream
    stream.head = this
  }

  /** Aborts when the peer resets the stream, or the connection is lost, before the tunnel is accepted. Made on first use. */
  get aborted(): CancelSignal {
    if (this.#aborted === undefined) {
      this.#aborted = new Cancellation()
      if (this.#loss !== undefined) this.#aborted.abort(this.#loss)
    }
    return this.#aborted
  }

  /** The first value of that request header; names in lower case. */
  header(name: string): string | undefined {
    return this.#request.fields.first(name)
  }

  headers(name: string): string[] {
    return this.#request.fields.all(name)
  }

  /**
   * Answers 200 with `headers` and joins the tunnel (A) with `app` (B), which it owns from here. If the peer has left
   * meanwhile, `app` is closed and the splice's `finished` rejects. Throws HboneError, and `app` is closed then too: `h2` for
   * headers that cannot be said in HTTP/2 (the tunnel is not answered yet), `aborted` where it was answered before.
   */
  accept(headers: readonly HeaderField[], app: TcpEnd, options: AcceptOptions = {}): Splice {
    try {
      const block = headers.length === 0 ? PLAIN_OK : responseBlock(200, headers)
      if (!this.#answer())
        throw new HboneError('aborted', 'accept a tunnel: it was answered before', { source: 'internal' })
      this.#stream.sendHead(block)
    } catch (error) {
      app.destroy(true)
      throw error
    }
    return new TunnelSplice(this.#stream, this.#stream.attach(app, options.prelude), true)
  }

  /** Answers `status` and ends the stream. */
  reject(status: number): void {
    if (this.#answer()) this.#stream.refuse(responseBlock(status, []))
  }

  /** RST_STREAM without an answer. */
  reset(): void {
    if (this.#answer()) this.#stream.reset(ErrorCode.cancel)
  }

  /** False from the second time on. */
  #answer(): boolean {
    const isFirst = !this.#isAnswered
    this.#isAnswered = true
    return isFirst
  }

  // ---- StreamHead

  onHeaders(): void {}

  onLost(error: HboneError): void {
    this.#loss = error
    this.#aborted?.abort(error)
  }
}
