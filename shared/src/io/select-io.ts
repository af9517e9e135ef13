import { messageOf } from '../errors/index.ts'
import type { Log } from '../log/index.ts'
import type { ByteIo } from './byte-io.ts'
import { HandleIo } from './handle/handle-io.ts'
import { loadBindings } from './handle/node-bindings.ts'
import type { SocketNames } from './socket-names.ts'
import { StreamIo } from './stream/stream-io.ts'

/** Which byte path is wanted. */
export interface SelectIoOptions {
  readonly log: Log
  /** `stream` is taken without a test; `handle`, the default, if it proves itself. */
  readonly prefer?: 'handle' | 'stream'
  /** For sockets of other network namespaces. */
  readonly names?: SocketNames
}

/**
 * The byte path for this process. The fast implementation stands on Node's internals, so it is tried first over loopback
 * (bytes both ways, half-close, TLS; a few milliseconds); where it fails, the public API is used and a warning says why.
 */
export async function selectIo({ log, prefer = 'handle', names }: SelectIoOptions): Promise<ByteIo> {
  if (prefer === 'stream') return new StreamIo(names)
  try {
    const io = new HandleIo(loadBindings(), names)
    await io.prove()
    return io
  } catch (error) {
    log.warn(`the fast byte path does not work here, using Node's public API (slower): ${messageOf(error)}`)
    return new StreamIo(names)
  }
}
