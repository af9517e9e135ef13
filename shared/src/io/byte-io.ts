import type { CancelSignal } from '../cancellation/index.ts'
import type { Clock } from '../clock/index.ts'
import type { X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import type { PortOwner, SecurePort, TcpPort } from './byte-port.ts'
import type { BulkBudget } from './bulk-budget.ts'
import type { SlabPool } from './slab.ts'
import type { SocketAddress } from '../ip/index.ts'

/**
 * One established TCP connection that nobody reads yet. The holder must do exactly one of: splice it, hand it to HBONE, or
 * destroy it.
 */
export interface TcpEnd {
  /** For socket options and SO_ORIGINAL_DST; -1 once closed. */
  readonly fd: number
  /** Canonical (an IPv4-mapped address is IPv4). */
  readonly remote: SocketAddress
  readonly local: SocketAddress
  /** Closes at once: with FIN, or with RST when `reset` is true or unread data is left. Idempotent. */
  destroy(reset?: boolean): void
}

/** A listening socket that is accepted on. */
export interface TcpListener {
  /** Accepts what waits in the queue (one turn of the loop), then closes this process's reference. Idempotent. */
  close(): void
  /** Resolves when, after `close`, the queue was empty and nothing more is accepted. */
  readonly closed: Promise<void>
  /** Connections given to onAccept so far. */
  readonly accepted: number
}

/** A bound socket in the form that child_process' `send(message, handle, { keepOpen: true })` passes on. */
export interface ListenHandle {
  readonly fd: number
  close(): void
}

/** Two byte streams joined, each read until its end and each end passed on (half-close included). */
export interface Splice {
  /**
   * Resolves when both directions have ended and everything was handed to the kernel or the tunnel. Rejects with the first
   * real error; a TCP RST or a broken pipe is no error but an end. Never an unhandled rejection.
   */
  readonly finished: Promise<void>
  /** Bytes read from A and passed towards B so far. */
  readonly bytesAtoB: number
  readonly bytesBtoA: number
  /**
   * Ends both sides at once; `finished` rejects with code `aborted`. With `reset` by RST, after which nothing more of them is on
   * its way. No effect after the end.
   */
  abort(reset?: boolean): void
}

/** How long a connect may take, and who may give it up. */
export interface ConnectOptions {
  readonly timeoutMs: number
  readonly signal?: CancelSignal
}

/** A TLS handshake in one of its two roles. */
export interface SecureOptions<Peer> {
  readonly role: 'client' | 'server'
  /** TLS versions, ciphers, groups, certificate: all decided by whoever made the context. */
  readonly context: SecureContext
  /** The only ALPN protocol; a server refuses clients that offer others only, and accepts one that offers none. */
  readonly alpn: string
  /** Judges the chain the peer presented, leaf first; empty when it presented none. Throws to refuse. */
  verify(chain: X509Certificate[]): Peer
  readonly handshakeTimeoutMs: number
  readonly clock: Clock
  readonly signal?: AbortSignal
}

/** A connection after its handshake: its port, and what `verify` made of the peer. */
export interface Secured<Peer> {
  readonly port: SecurePort
  readonly peer: Peer
}

/** Everything that moves bytes. Two implementations: `handle` (fast) and `stream` (Node's public API only). */
export interface ByteIo {
  readonly name: 'handle' | 'stream'
  /** Memory for frames on their way out, shared by all connections of this io. */
  readonly slabs: SlabPool
  /** Memory for one read of an application that cannot be sent at once. */
  readonly readSlabs: SlabPool
  /** Shared by all connections of this io. */
  readonly bulkBudget: BulkBudget
  /** Takes ownership of a bound (and possibly listening) TCP socket. Throws IoError. */
  adopt(fd: number): ListenHandle
  /**
   * Listens on a handle from adopt, here or in the parent process. Every accepted connection has TCP_NODELAY. When the process
   * runs out of descriptors, waiting connections are dropped, not spun upon. Throws IoError.
   */
  listen(handle: unknown, backlog: number, onAccept: (end: TcpEnd) => void): TcpListener
  /**
   * Connects an unconnected (maybe bound) TCP socket of the same address family as `to`; the descriptor is owned from here,
   * whatever happens. Rejects with IoError `timeout`, `refused`, `unreachable`, `aborted` or `other`.
   */
  connect(fd: number, to: SocketAddress, options: ConnectOptions): Promise<TcpEnd>
  /** Joins two plain TCP connections and owns both. */
  splice(a: TcpEnd, b: TcpEnd): Splice
  /**
   * Begins to read `end` for a tunnel: `owner` gets data in memory that is valid during the call only, with at least
   * HEADROOM_BYTES of writable space in front. The port owns the end.
   */
  attach(end: TcpEnd, owner: PortOwner): TcpPort
  /** TLS over `end`, which it owns. Rejects with IoError `tls`, `tls-verify`, `handshake-timeout` or `aborted`; then the end is closed. */
  secure<Peer>(end: TcpEnd, options: SecureOptions<Peer>): Promise<Secured<Peer>>
}
