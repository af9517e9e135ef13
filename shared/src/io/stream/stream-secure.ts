import type { TLSSocket } from 'node:tls'
import type { SecureOptions, Secured } from '../byte-io.ts'
import type { SecureOwner, SecurePort } from '../byte-port.ts'
import { handshake } from '../secure-handshake.ts'
import { HeapSlab, type Slab } from '../slab.ts'
import type { SocketAddress } from '../../ip/index.ts'
import { tlsReason } from '../tls-reason.ts'
import type { StreamTcp } from './stream-tcp.ts'

export async function secureStream<Peer>(end: StreamTcp, options: SecureOptions<Peer>): Promise<Secured<Peer>> {
  const { socket, peer } = await handshake(end.giveSocket(), options)
  return { port: new StreamSecure(end, socket), peer }
}

/** A TLS connection by TLSSocket's stream interface. */
class StreamSecure implements SecurePort {
  readonly consumesOnWrite = false
  readonly #end: StreamTcp
  readonly #socket: TLSSocket
  #owner: SecureOwner | undefined

  constructor(end: StreamTcp, socket: TLSSocket) {
    this.#end = end
    this.#socket = socket
    socket.on('error', (error) => this.#close(tlsReason(error)))
    // TLS errors after the handshake of a socket that no tls.Server made come under this name only.
    socket.on('_tlsError', (error: Error) => this.#close(tlsReason(error)))
    socket.on('end', () => this.#close(undefined))
    socket.on('close', () => this.#close('closed'))
  }

  get remote(): SocketAddress {
    return this.#end.remote
  }

  get local(): SocketAddress {
    return this.#end.local
  }

  get fd(): number {
    return this.#end.fd
  }

  start(owner: SecureOwner): void {
    this.#owner = owner
    if (this.#socket.destroyed) setImmediate(() => this.#close('closed'))
    this.#socket.on('data', (chunk: Buffer) => this.#owner?.onBytes(new HeapSlab(chunk), 0, chunk.length, false))
    this.#socket.resume()
  }

  write(slab: Slab, start: number, end: number): void {
    if (this.#owner === undefined) return
    slab.retain()
    this.#socket.write(slab.bytes.subarray(start, end), (error) => {
      slab.release()
      // onWritten is promised for a later turn, so that everything of one turn goes out together.
      if (error === null || error === undefined) setImmediate(() => this.#owner?.onWritten())
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (this.#owner !== undefined) this.#socket.resume()
  }

  end(): void {
    if (this.#owner !== undefined) this.#socket.end()
  }

  destroy(): void {
    this.#owner = undefined
    this.#socket.destroy()
  }

  #close(why: string | undefined): void {
    const owner = this.#owner
    if (owner === undefined) return
    this.destroy()
    owner.onClosed(why)
  }
}
