import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { RECORD_BYTES } from '../burst.ts'
import type { SecureOptions, Secured } from '../byte-io.ts'
import type { SecureOwner, SecurePort } from '../byte-port.ts'
import { errnoName } from '../io-error.ts'
import { handshake } from '../secure-handshake.ts'
import { HeapSlab, type Slab } from '../slab.ts'
import type { SocketAddress } from '../../ip/index.ts'
import { tlsReason } from '../tls-reason.ts'
import type { HandleMemory } from './handle-memory.ts'
import type { HandleTcp } from './handle-tcp.ts'
import type { StreamHandle, WriteRequest } from './node-bindings.ts'
import { ReceiveRing } from './receive-ring.ts'

/**
 * The last record of a burst is not full, and no sign of quiet: if it were, the next burst's first record would lie in other
 * memory than the rest, and be written to the application by itself. The owner's PINGs bring less than this, so a connection
 * that is idle keeps large memory for no longer than their interval.
 */
const QUIET_BYTES = 4096

interface TlsHandle extends StreamHandle {
  secure?: HandleSecure
}

interface TlsWrite extends WriteRequest {
  secure?: HandleSecure
}

/** Handshake by node:tls on the connection's handle, then the record layer by node:tls' own native handle. */
export async function secureHandle<Peer>(
  memory: HandleMemory,
  end: HandleTcp,
  options: SecureOptions<Peer>,
): Promise<Secured<Peer>> {
  const { socket, peer } = await handshake(socketOf(end), options)
  return { port: new HandleSecure(memory, end, socket), peer }
}

/** The connection as the net.Socket that node:tls wants, by constructor options that net.Server itself uses. */
export function socketOf(end: HandleTcp): Socket {
  return new Socket({ handle: end.giveHandle(), pauseOnCreate: true, allowHalfOpen: false } as object)
}

/**
 * A TLS connection at handle level: decrypted records land in a receive ring, a write is one SSL_write of one buffer.
 *
 * TLSWrap aborts the process when two writes are outstanding, and completes every write in a later turn: hence the rule of
 * one write at a time, which the caller turns into one coalesced write per turn.
 */
export class HandleSecure implements SecurePort {
  readonly consumesOnWrite = true
  readonly #memory: HandleMemory
  readonly #end: HandleTcp
  readonly #socket: TLSSocket
  readonly #handle: TlsHandle
  #owner: SecureOwner | undefined
  #ring: ReceiveRing | undefined
  #isWriting = false
  #isEnding = false

  constructor(memory: HandleMemory, end: HandleTcp, socket: TLSSocket) {
    this.#memory = memory
    this.#end = end
    this.#socket = socket
    this.#handle = Reflect.get(socket, '_handle') as TlsHandle // TLSSocket's native handle: a StreamBase like TCP's, as the self-test proves
    socket.on('error', (error) => this.#close(tlsReason(error)))
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
    if (this.#socket.destroyed) {
      setImmediate(() => this.#close('closed'))
      return
    }
    const handle = this.#handle
    this.#ring = new ReceiveRing(this.#memory.smallSlabs, this.#memory.slabs, RECORD_BYTES, QUIET_BYTES)
    handle.secure = this
    handle.onread = onRead
    // TLS errors from here on; node:tls' own handler reports them only where a tls.Server made the socket.
    Reflect.set(handle, 'onerror', (error: Error) => this.#close(tlsReason(error)))
    handle.useUserBuffer(this.#ring.view)
    // What arrived together with the end of the handshake lies in the Readable already.
    for (let early: unknown = this.#socket.read(); early instanceof Buffer; early = this.#socket.read()) {
      this.#owner?.onBytes(new HeapSlab(early), 0, early.length, false)
    }
    if (this.#owner === undefined || handle.reading) return
    handle.reading = true
    const status = handle.readStart()
    if (status !== 0) setImmediate(() => this.#close(errnoName(status)))
  }

  write(slab: Slab, start: number, end: number): void {
    if (this.#owner === undefined) return
    if (this.#isWriting || this.#isEnding) throw new Error('a TLS write is outstanding: one at a time')
    const request: TlsWrite = new this.#memory.bindings.WriteWrap()
    request.secure = this
    request.oncomplete = onWritten
    this.#isWriting = true
    const status = this.#handle.writeBuffer(request, slab.bytes.subarray(start, end))
    const { bindings } = this.#memory
    if (status !== 0) setImmediate(() => this.#close(errnoName(status)))
    else if (bindings.state[bindings.lastWriteWasAsync] === 0) setImmediate(() => HandleSecure.onWritten(this, 0))
  }

  pause(): void {
    if (this.#owner !== undefined) this.#handle.readStop()
  }

  resume(): void {
    if (this.#owner !== undefined) this.#handle.readStart()
  }

  end(): void {
    if (this.#owner === undefined || this.#isEnding) return
    this.#isEnding = true
    const request = new this.#memory.bindings.ShutdownWrap()
    request.oncomplete = () => {}
    this.#handle.shutdown(request)
  }

  destroy(): void {
    this.#owner = undefined
    this.#ring?.release()
    this.#ring = undefined
    this.#socket.destroy()
  }

  #close(why: string | undefined): void {
    const owner = this.#owner
    this.destroy()
    owner?.onClosed(why)
  }

  static onRead(secure: HandleSecure): Buffer | undefined {
    const { bindings } = secure.#memory
    const length = bindings.state[bindings.readBytesOrError] ?? 0
    const ring = secure.#ring
    if (secure.#owner === undefined || ring === undefined || length === 0) return undefined
    if (length < 0) {
      const name = errnoName(length)
      secure.#close(name === 'EOF' ? undefined : name)
      return undefined
    }
    secure.#owner.onBytes(ring.slab, ring.start, ring.start + length, length === RECORD_BYTES)
    return secure.#ring === undefined ? undefined : ring.advance(length)
  }

  static onWritten(secure: HandleSecure, status: number): void {
    secure.#isWriting = false
    if (status < 0) secure.#close(errnoName(status))
    else secure.#owner?.onWritten()
  }
}

function onRead(this: TlsHandle): Buffer | undefined {
  return this.secure === undefined ? undefined : HandleSecure.onRead(this.secure)
}

function onWritten(this: TlsWrite, status: number): void {
  if (this.secure !== undefined) HandleSecure.onWritten(this.secure, status)
}
