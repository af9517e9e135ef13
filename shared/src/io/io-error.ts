import { getSystemErrorName } from 'node:util'
import { MeshError } from '../errors/index.ts'

/**
 * - `timeout`: the connect deadline passed. `refused`: a RST or ICMP port unreachable answered. `unreachable`: no route.
 * - `reset`: an established connection was lost. `aborted`: the caller asked for the end.
 * - `tls`: the handshake failed. `tls-verify`: the peer's certificate was refused. `handshake-timeout`: it took too long.
 * - `other`: anything else; `errno` names it.
 */
export type IoErrorCode =
  | 'timeout'
  | 'refused'
  | 'unreachable'
  | 'reset'
  | 'aborted'
  | 'tls'
  | 'tls-verify'
  | 'handshake-timeout'
  | 'other'

const CODE_OF_ERRNO: ReadonlyMap<string, IoErrorCode> = new Map([
  ['ECONNREFUSED', 'refused'],
  ['ETIMEDOUT', 'timeout'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['EADDRNOTAVAIL', 'unreachable'],
  ['ECONNRESET', 'reset'],
  ['ECONNABORTED', 'reset'],
  ['EPIPE', 'reset'],
  ['ENOTCONN', 'reset'],
  ['ECANCELED', 'aborted'],
])

/** A failure of one TCP or TLS connection. `errno` is the system's name for it where there is one. */
export class IoError extends MeshError<IoErrorCode> {
  readonly errno: string | undefined

  constructor(code: IoErrorCode, message: string, options: { errno?: string; cause?: unknown } = {}) {
    const retryable = code === 'timeout' || code === 'refused' || code === 'unreachable' || code === 'reset'
    super(code, message, {
      source: 'upstream',
      retryable,
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    })
    this.errno = options.errno
  }

  /** The error for a system error name such as `ECONNREFUSED`. `doing` begins the sentence: "connect to 10.0.0.1:80". */
  static ofErrno(errno: string, doing: string): IoError {
    return new IoError(CODE_OF_ERRNO.get(errno) ?? 'other', `${doing}: ${errno}`, { errno })
  }
}

/** The name of a negative libuv status, e.g. -111 → `ECONNREFUSED`; `UNKNOWN` when libuv has no name for it. */
export function errnoName(status: number): string {
  try {
    return getSystemErrorName(status)
  } catch {
    return 'UNKNOWN'
  }
}

/**
 * True for the ends of a TCP connection that a proxy swallows: the peer vanished (RST) or does not take any more. They count
 * as an orderly end of the copy (reference behaviour of Istio's ztunnel); everything else is an error of the splice.
 */
export function isSwallowed(errno: string): boolean {
  return errno === 'ECONNRESET' || errno === 'EPIPE' || errno === 'ENOTCONN' || errno === 'ECONNABORTED'
}
