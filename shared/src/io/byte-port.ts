import type { Slab } from './slab.ts'
import type { SocketAddress } from '../ip/index.ts'

/** Space in front of data read for a tunnel: an HTTP/2 frame header is written there, so the payload is never copied. */
export const HEADROOM_BYTES = 9

/** What a TCP port tells its owner. After close() nothing more is told. */
export interface PortOwner {
  /** Bytes from the peer. The memory is lent for the call; `slab.retain` keeps it only where the port's reader allows that. */
  onData(slab: Slab, start: number, end: number): void
  /** The peer sent FIN. Told once; nothing is read after it. */
  onEnd(): void
  /** Bytes of an earlier write that returned `pending` are with the kernel now. */
  onTaken(bytes: number): void
  /** The connection is lost in both directions; `errno` is the system's name. The owner closes the port. */
  onError(errno: string): void
}

/** `taken`: with the kernel. `pending`: kept, onTaken follows. `failed`: the connection is lost (as in onError, which is not called). */
export type WriteResult = 'taken' | 'pending' | 'failed'

/** One TCP connection being read and written. Reading begins when the port is made. */
export interface TcpPort {
  /** Bytes written and not yet taken by the kernel. The owner bounds this by not writing more. */
  readonly bufferedBytes: number
  /** Changes whenever the kernel takes some of what was written, also a part of one write: does the far end still read? */
  readonly writeMark: number
  write(slab: Slab, start: number, end: number): WriteResult
  /** FIN, after everything written before it. Idempotent. */
  end(): void
  pause(): void
  /** `inSmallBursts`: reads less at a time, as it does at first, until it is resumed without. The public API cannot. */
  resume(inSmallBursts?: boolean): void
  /** Closes both directions at once and drops what is pending; with RST when `reset`. Idempotent. */
  close(reset?: boolean): void
}

/** What a TLS port tells its owner. After destroy() nothing more is told. */
export interface SecureOwner {
  /**
   * Decrypted bytes, in memory that stays if retained. `more` hints that further bytes follow at once, so that the owner may
   * wait for them before it acts on what it has.
   */
  onBytes(slab: Slab, start: number, end: number, more: boolean): void
  /** The write is done and the next one may begin. Always in a later turn than the write. */
  onWritten(): void
  /** The connection is over; `why` is an errno or a TLS error text, or undefined for an orderly end by the peer. */
  onClosed(why: string | undefined): void
}

/** A TLS connection after its handshake. At most ONE write may be outstanding. */
export interface SecurePort {
  readonly remote: SocketAddress
  readonly local: SocketAddress
  readonly fd: number
  /** True when write() has consumed its memory on return, so that the caller may write over it at once. */
  readonly consumesOnWrite: boolean
  /** Begins to read. Once. */
  start(owner: SecureOwner): void
  write(slab: Slab, start: number, end: number): void
  /** Reads no more for now; what was read already may still come. */
  pause(): void
  resume(): void
  /** close_notify and FIN. No write may be outstanding or follow. */
  end(): void
  destroy(): void
}
