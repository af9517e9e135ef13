import { PLAIN_READ_BYTES } from '../burst.ts'
import type { TcpEnd } from '../byte-io.ts'
import type { PortOwner, TcpPort, WriteResult } from '../byte-port.ts'
import { HEADROOM_BYTES } from '../byte-port.ts'
import { ByteQueue } from '../byte-queue.ts'
import { errnoName } from '../io-error.ts'
import type { Slab } from '../slab.ts'
import type { SocketAddress } from '../../ip/index.ts'
import type { HandleMemory } from './handle-memory.ts'
import type { TcpHandle, WriteRequest } from './node-bindings.ts'
import { localOf } from './read-address.ts'
import { ReceiveRing } from './receive-ring.ts'

/** libuv's status for the end of a stream. */
const UV_EOF = -4095

/** A slow receiver keeps the slab its pending bytes lie in (256 KB); beyond this many in the whole process it keeps a copy. */
const MAX_SLABS_KEPT = 128

interface OwnedHandle extends TcpHandle {
  tcp?: HandleTcp
}

interface PendingWrite extends WriteRequest {
  tcp?: HandleTcp
  slab?: Slab | undefined
  /** Keeps the memory alive that libuv points to. */
  buffer?: Buffer
}

/** One TCP connection on a raw libuv handle: the end before it is attached, the port afterwards (one object per connection). */
export class HandleTcp implements TcpEnd, TcpPort {
  readonly remote: SocketAddress
  readonly #memory: HandleMemory
  readonly #handle: OwnedHandle
  #state: 'fresh' | 'attached' | 'given' | 'closed' = 'fresh'
  #owner: PortOwner | undefined
  #ring: ReceiveRing | undefined
  #local: SocketAddress | undefined
  #isPaused = false
  /** At first, so that a peer which gives no credit, or does not read, has less of each of its streams kept here. */
  #inSmallBursts = true
  #ending: 'no' | 'wanted' | 'sent' = 'no'
  /** Bytes of the one write that libuv has; further ones wait in the queue. */
  #inFlight = 0
  #queue: ByteQueue | undefined

  constructor(memory: HandleMemory, handle: TcpHandle, remote: SocketAddress) {
    this.#memory = memory
    this.#handle = handle
    this.remote = remote
  }

  get fd(): number {
    return this.#state === 'closed' ? -1 : Math.max(this.#handle.fd, -1)
  }

  get local(): SocketAddress {
    return (this.#local ??= localOf(this.#handle, this.#memory.names) ?? { address: '0.0.0.0', port: 0 })
  }

  get bufferedBytes(): number {
    return this.#inFlight + (this.#queue?.length ?? 0)
  }

  get writeMark(): number {
    return this.#state === 'closed' ? 0 : this.#handle.writeQueueSize + (this.#queue?.length ?? 0)
  }

  /** For tunnels: reads into the shared scratch buffer. */
  attachToScratch(owner: PortOwner): TcpPort {
    this.#attach(owner, this.#memory.smallScratchView)
    return this
  }

  /** For plain splices: reads into memory of its own, so that a write may keep it. */
  attachToRing(owner: PortOwner): TcpPort {
    this.#ring = new ReceiveRing(this.#memory.tinySlabs, this.#memory.slabs, PLAIN_READ_BYTES)
    this.#attach(owner, this.#ring.view)
    return this
  }

  /** Gives the handle away to TLS; this object is only its addresses afterwards. */
  giveHandle(): TcpHandle {
    if (this.#state !== 'fresh') throw new Error(`a connection that is ${this.#state} cannot be secured`)
    void this.local
    this.#state = 'given'
    return this.#handle
  }

  write(slab: Slab, start: number, end: number): WriteResult {
    if (this.#state !== 'attached') return 'failed'
    if (this.#inFlight > 0) {
      this.#queue ??= new ByteQueue()
      this.#queue.append(slab.bytes, start, end)
      return 'pending'
    }
    const { bindings } = this.#memory
    const request: PendingWrite = this.#memory.writeRequest()
    // With many slabs kept by slow receivers, pending bytes are kept in memory of their own size instead.
    const isScarce = this.#memory.slabs.lent > MAX_SLABS_KEPT
    const region = isScarce ? Buffer.from(slab.bytes.subarray(start, end)) : slab.bytes.subarray(start, end)
    const status = this.#handle.writeBuffer(request, region)
    if (status !== 0 || bindings.state[bindings.lastWriteWasAsync] === 0) {
      this.#memory.spare(request)
      return status === 0 ? 'taken' : 'failed'
    }
    if (!isScarce) slab.retain()
    this.#expect(request, region, isScarce ? undefined : slab)
    return 'pending'
  }

  end(): void {
    if (this.#ending !== 'no' || this.#state !== 'attached') return
    this.#ending = 'wanted'
    if (this.#inFlight === 0) this.#shutdown()
  }

  pause(): void {
    if (this.#isPaused || this.#state !== 'attached') return
    this.#isPaused = true
    this.#handle.readStop()
  }

  resume(inSmallBursts = false): void {
    if (!this.#isPaused || this.#state !== 'attached') return
    this.#isPaused = false
    if (inSmallBursts !== this.#inSmallBursts) this.#readInBursts(inSmallBursts)
    this.#handle.readStart()
  }

  destroy(reset = false): void {
    if (this.#state !== 'given') this.close(reset)
  }

  close(reset = false): void {
    if (this.#state === 'closed' || this.#state === 'given') return
    this.#state = 'closed'
    this.#owner = undefined
    this.#inFlight = 0
    this.#queue = undefined
    this.#ring?.release()
    this.#ring = undefined
    // A reset fails while a FIN is on its way, and a handle whose reset has failed can never be closed: Node takes it for
    // closing. With the FIN sent everything was said anyway.
    if (reset && this.#ending !== 'sent') this.#handle.reset()
    else this.#handle.close()
  }

  #readInBursts(small: boolean): void {
    if (this.#ring !== undefined) return
    this.#inSmallBursts = small
    this.#handle.useUserBuffer(small ? this.#memory.smallScratchView : this.#memory.scratchView)
  }

  #attach(owner: PortOwner, view: Buffer): void {
    if (this.#state !== 'fresh') throw new Error(`a connection that is ${this.#state} cannot be attached`)
    this.#state = 'attached'
    this.#owner = owner
    this.#handle.tcp = this
    this.#handle.onread = onRead
    this.#handle.useUserBuffer(view)
    this.#handle.reading = true
    const status = this.#handle.readStart()
    // The owner learns of it like of any other loss, after it got its port.
    if (status !== 0) setImmediate(() => this.#owner?.onError(errnoName(status)))
  }

  /** A read is done. Returns the buffer for the next one if that changes. */
  static onRead(tcp: HandleTcp): Buffer | undefined {
    const owner = tcp.#owner
    const { bindings } = tcp.#memory
    const length = bindings.state[bindings.readBytesOrError] ?? 0
    if (owner === undefined || length === 0) return undefined
    if (length < 0) {
      if (length === UV_EOF) owner.onEnd()
      else owner.onError(errnoName(length))
      return undefined
    }
    const ring = tcp.#ring
    if (ring === undefined) {
      owner.onData(tcp.#memory.scratch, HEADROOM_BYTES, HEADROOM_BYTES + length)
      return undefined
    }
    owner.onData(ring.slab, ring.start, ring.start + length)
    return tcp.#ring === undefined ? undefined : ring.advance(length)
  }

  /** The write that libuv kept is done. */
  static onWritten(tcp: HandleTcp, status: number): void {
    const taken = tcp.#inFlight
    tcp.#inFlight = 0
    if (tcp.#state !== 'attached') return
    if (status < 0) {
      tcp.#owner?.onError(errnoName(status))
      return
    }
    tcp.#drainQueue(taken)
  }

  /** Writes what queued up meanwhile, until libuv keeps something or nothing is left. */
  #drainQueue(taken: number): void {
    const { bindings } = this.#memory
    for (let chunk = this.#queue?.shift(); chunk !== undefined; chunk = this.#queue?.shift()) {
      const request: PendingWrite = this.#memory.writeRequest()
      const status = this.#handle.writeBuffer(request, chunk)
      if (status !== 0) {
        this.#memory.spare(request)
        this.#owner?.onError(errnoName(status))
        return
      }
      if (bindings.state[bindings.lastWriteWasAsync] !== 0) {
        this.#expect(request, chunk, undefined)
        break
      }
      this.#memory.spare(request)
      taken += chunk.length
    }
    if (this.#queue?.length === 0) this.#queue = undefined
    if (this.#inFlight === 0 && this.#ending === 'wanted') this.#shutdown()
    this.#owner?.onTaken(taken)
  }

  #expect(request: PendingWrite, buffer: Buffer, slab: Slab | undefined): void {
    this.#inFlight = buffer.length
    request.tcp = this
    request.slab = slab
    request.buffer = buffer
    request.oncomplete = onWritten
  }

  #shutdown(): void {
    this.#ending = 'sent'
    const request = new this.#memory.bindings.ShutdownWrap()
    request.oncomplete = ignore
    // An error here (ENOTCONN) means the peer is gone already, which reading reports.
    this.#handle.shutdown(request)
  }
}

// One function for all handles, not one closure per connection: `this` is the handle or request that libuv calls for.

function onRead(this: OwnedHandle): Buffer | undefined {
  return this.tcp === undefined ? undefined : HandleTcp.onRead(this.tcp)
}

function onWritten(this: PendingWrite, status: number): void {
  this.slab?.release()
  if (this.tcp !== undefined) HandleTcp.onWritten(this.tcp, status)
}

function ignore(): void {}
