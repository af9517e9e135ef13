export { BulkBudget, type BulkWaiter } from './bulk-budget.ts'
export { BURST_BYTES, SMALL_BURST_BYTES } from './burst.ts'
export type {
  ByteIo,
  ConnectOptions,
  ListenHandle,
  SecureOptions,
  Secured,
  Splice,
  TcpEnd,
  TcpListener,
} from './byte-io.ts'
export {
  HEADROOM_BYTES,
  type PortOwner,
  type SecureOwner,
  type SecurePort,
  type TcpPort,
  type WriteResult,
} from './byte-port.ts'
export { ByteQueue } from './byte-queue.ts'
export { IoError, isSwallowed, type IoErrorCode } from './io-error.ts'
export { selectIo, type SelectIoOptions } from './select-io.ts'
export { HeapSlab, PooledSlab, SlabPool, type Slab } from './slab.ts'
export type { SocketNames } from './socket-names.ts'
