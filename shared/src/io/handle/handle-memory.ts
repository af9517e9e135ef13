import { BURST_BYTES, RECORD_BYTES, SMALL_BURST_BYTES } from '../burst.ts'
import { HEADROOM_BYTES } from '../byte-port.ts'
import { SlabPool, type Slab } from '../slab.ts'
import type { SocketNames } from '../socket-names.ts'
import type { Bindings, WriteRequest } from './node-bindings.ts'

/** Read size for tunnelled data: with its frame header one burst. */
const SCRATCH_BYTES = BURST_BYTES - HEADROOM_BYTES

/** 16 records: what TLS decrypts into while bulk arrives, and what frames are gathered in. */
const SLAB_BYTES = 16 * RECORD_BYTES

/** What an idle connection keeps for its next read. */
const SMALL_SLAB_BYTES = RECORD_BYTES
const TCP_SMALL_BYTES = 2048

/**
 * Memory and request objects shared by all handles of one io.
 *
 * Every tunnelled TCP connection reads into ONE scratch buffer (no memory per connection): its data is consumed before the
 * read callback returns. Everything that may have to stay (TLS plaintext, plain splices) reads into slabs.
 */
export class HandleMemory {
  readonly bindings: Bindings
  readonly scratch: Slab
  /** The scratch without its headroom: what handles read into. */
  readonly scratchView: Buffer
  /** The part of it that one small burst takes. */
  readonly smallScratchView: Buffer
  /** At most 32 × 256 KiB = 8 MiB stay idle. */
  readonly slabs = new SlabPool(SLAB_BYTES, 32)
  /** At most 32 × 122 KiB = 3.8 MiB stay idle. */
  readonly readSlabs = new SlabPool(SCRATCH_BYTES, 32)
  readonly smallSlabs = new SlabPool(SMALL_SLAB_BYTES, 64)
  readonly tinySlabs = new SlabPool(TCP_SMALL_BYTES, 256)
  readonly names: SocketNames | undefined
  #spareWrite: WriteRequest | undefined

  constructor(bindings: Bindings, names?: SocketNames) {
    this.bindings = bindings
    this.names = names
    const bytes = Buffer.allocUnsafeSlow(SCRATCH_BYTES + HEADROOM_BYTES)
    this.scratch = new Scratch(bytes)
    this.scratchView = bytes.subarray(HEADROOM_BYTES)
    this.smallScratchView = bytes.subarray(HEADROOM_BYTES, SMALL_BURST_BYTES)
  }

  /** A write request; give it back with `spare` if the write was synchronous, which nearly all are. */
  writeRequest(): WriteRequest {
    const spare = this.#spareWrite
    if (spare === undefined) return new this.bindings.WriteWrap()
    this.#spareWrite = undefined
    return spare
  }

  spare(request: WriteRequest): void {
    this.#spareWrite = request
  }
}

/** Written over by the next read of any connection, so it cannot be kept. */
class Scratch implements Slab {
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  retain(): void {
    throw new Error('the scratch buffer is written over by the next read: copy what must stay')
  }

  release(): void {}
}
