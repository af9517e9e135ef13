import type { Socket } from 'node:net'
import type { TcpEnd } from '../byte-io.ts'
import type { PortOwner, TcpPort, WriteResult } from '../byte-port.ts'
import { HeapSlab, type Slab } from '../slab.ts'
import type { SocketNames } from '../socket-names.ts'
import { canonicalAddress, type SocketAddress } from '../../ip/index.ts'

/** One TCP connection on a net.Socket: the end before it is attached, the port afterwards. */
export class StreamTcp implements TcpEnd, TcpPort {
  readonly remote: SocketAddress
  readonly local: SocketAddress
  readonly #socket: Socket
  #state: 'fresh' | 'attached' | 'given' | 'closed' = 'fresh'
  #owner: PortOwner | undefined
  /** Bytes that the socket kept since it was last empty, told to the owner together. */
  #pending = 0
  readonly #onTaken = (): void => {
    if (this.#state !== 'attached' || this.#pending === 0 || this.#socket.writableLength > 0) return
    const taken = this.#pending
    this.#pending = 0
    this.#owner?.onTaken(taken)
  }

  /** `socket` is connected, paused, and half-open. */
  constructor(socket: Socket, names?: SocketNames, remote?: SocketAddress) {
    this.#socket = socket
    const fd = this.fd
    this.remote =
      remote ??
      addressOf(
        () => ({ address: socket.remoteAddress, port: socket.remotePort }),
        () => names?.remote(fd),
      )
    this.local = addressOf(
      () => ({ address: socket.localAddress, port: socket.localPort }),
      () => names?.local(fd),
    )
    // Until it is attached nobody is told; afterwards the owner is.
    socket.on('error', (error: NodeJS.ErrnoException) => this.#lose(error.code ?? 'UNKNOWN'))
    socket.on('close', () => this.#lose('ECONNRESET'))
  }

  get fd(): number {
    const fd = this.#state === 'closed' ? -1 : this.#ofHandle('fd')
    return fd >= 0 ? fd : -1
  }

  get bufferedBytes(): number {
    return this.#pending
  }

  get writeMark(): number {
    return this.#socket.writableLength + this.#ofHandle('writeQueueSize')
  }

  attach(owner: PortOwner): TcpPort {
    if (this.#state !== 'fresh') throw new Error(`a connection that is ${this.#state} cannot be attached`)
    this.#state = 'attached'
    this.#owner = owner
    if (this.#socket.destroyed) setImmediate(() => this.#lose('ECONNRESET'))
    this.#socket.on('data', (chunk: Buffer) => this.#owner?.onData(new HeapSlab(chunk), 0, chunk.length))
    this.#socket.on('end', () => this.#owner?.onEnd())
    this.#socket.resume()
    return this
  }

  /** Gives the socket away to TLS; this object is only its addresses and descriptor afterwards. */
  giveSocket(): Socket {
    if (this.#state !== 'fresh') throw new Error(`a connection that is ${this.#state} cannot be secured`)
    this.#state = 'given'
    return this.#socket
  }

  write(slab: Slab, start: number, end: number): WriteResult {
    if (this.#state !== 'attached' || !this.#socket.writable) return 'failed'
    slab.retain()
    // A socket that is empty takes the bytes to the kernel within write(), as far as they go.
    this.#socket.write(slab.bytes.subarray(start, end), () => {
      slab.release()
      this.#onTaken()
    })
    if (this.#socket.writableLength === 0 && this.#pending === 0) return 'taken'
    this.#pending += end - start
    return 'pending'
  }

  end(): void {
    if (this.#state === 'attached' && this.#socket.writable) this.#socket.end()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (this.#state === 'attached') this.#socket.resume()
  }

  destroy(reset = false): void {
    if (this.#state !== 'given') this.close(reset)
  }

  close(reset = false): void {
    if (this.#state === 'closed' || this.#state === 'given') return
    this.#state = 'closed'
    this.#owner = undefined
    this.#pending = 0
    // While a FIN is on its way a reset fails inside of Node, and the descriptor would stay open for ever.
    const isEnding = this.#socket.writableEnded && this.#socket.writableLength === 0
    if (reset && !isEnding) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  /** The only way to a socket's descriptor and to what the kernel has not taken; -1 where this Node does not have it. */
  #ofHandle(name: 'fd' | 'writeQueueSize'): number {
    const handle: unknown = Reflect.get(this.#socket, '_handle')
    const value: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, name) : undefined
    return typeof value === 'number' ? value : -1
  }

  #lose(errno: string): void {
    this.#owner?.onError(errno)
  }
}

interface MaybeAddress {
  readonly address: string | undefined
  readonly port: number | undefined
}

/** Nobody's address where the connection is gone. */
function addressOf(ask: () => MaybeAddress, otherwise: () => SocketAddress | undefined): SocketAddress {
  let found: MaybeAddress | undefined
  try {
    found = ask()
  } catch {
    // See SocketNames.
    found = otherwise()
  }
  return { address: canonicalAddress(found?.address ?? ''), port: found?.port ?? 0 }
}
