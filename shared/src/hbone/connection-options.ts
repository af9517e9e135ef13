import type { Clock } from '../clock/index.ts'
import type { ByteIo, SecurePort } from '../io/index.ts'
import type { Log } from '../log/index.ts'
import type { HeaderField } from './hpack/index.ts'
import type { MemoryShare } from './held-memory.ts'
import type { Leftovers } from './leftovers.ts'
import type { HboneLimits } from './limits.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** What an HTTP/2 connection is made of. */
export interface ConnectionOptions {
  readonly role: 'client' | 'server'
  readonly io: ByteIo
  readonly port: SecurePort
  readonly limits: HboneLimits
  readonly leftovers: Leftovers
  readonly memory: MemoryShare
  readonly clock: Clock
  readonly log: Log
  readonly hooks: ConnectionHooks
}

/** What differs between the roles. */
export interface ConnectionHooks {
  /** Server: a new stream with its request. The stream is counted; answer it with sendHead or reset it. */
  onRequest(stream: TunnelStream, fields: HeaderField[], tooLarge: boolean): void
  /** Streams, peer settings or state have changed. */
  onChange(): void
  /** With every PING of ours, while there are streams or may be. */
  onTick(): void
}
