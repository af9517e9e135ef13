import { MeshError, messageOf, type ErrorSource } from '../errors/index.ts'
import { IoError } from '../io/io-error.ts'

/**
 * - `dial`: no TCP connection to the tunnel's far end. `dial-timeout`: none in time.
 * - `identity`: our own certificate could not be had.
 * - `tls`: the handshake failed. `tls-verify`: we refused the peer's certificate. `handshake-timeout`: TLS took too long.
 * - `h2`: the peer broke HTTP/2, refused the stream, or the connection was lost.
 * - `status`: the peer answered the CONNECT with anything but 200.
 * - `answer-timeout`: the peer answers PING, but not the CONNECT.
 * - `aborted`: the caller gave up, or this end is shutting down.
 * - `revoked`: the peer's certificate was revoked while the connection was open.
 * - `overloaded`: a limit of ours is reached.
 */
export type HboneErrorCode =
  | 'dial'
  | 'dial-timeout'
  | 'identity'
  | 'tls'
  | 'tls-verify'
  | 'handshake-timeout'
  | 'h2'
  | 'status'
  | 'answer-timeout'
  | 'aborted'
  | 'revoked'
  | 'overloaded'

export interface HboneErrorOptions {
  readonly source?: ErrorSource
  readonly cause?: unknown
  readonly status?: number
  readonly unprocessed?: boolean
}

/** A tunnel or a tunnel connection that failed. */
export class HboneError extends MeshError<HboneErrorCode> {
  /** Of the answer, where the code is `status`; otherwise undefined. */
  readonly status: number | undefined
  /** The peer surely did nothing with the request, so that it may be sent again elsewhere (RFC 9113 §8.7). */
  readonly unprocessed: boolean

  constructor(code: HboneErrorCode, message: string, options: HboneErrorOptions = {}) {
    const { source = 'upstream', unprocessed = false } = options
    super(code, message, { source, retryable: unprocessed, cause: options.cause })
    this.status = options.status
    this.unprocessed = unprocessed
  }

  /** Any failure of making a tunnel connection, as one of our codes; an HboneError stays what it is. */
  static from(error: unknown, otherwise: HboneErrorCode, doing?: string): HboneError {
    if (error instanceof HboneError) return error
    const message = doing === undefined ? messageOf(error) : `${doing}: ${messageOf(error)}`
    return new HboneError(error instanceof IoError ? codeOfIoError(error, otherwise) : otherwise, message, {
      cause: error,
    })
  }
}

function codeOfIoError(error: IoError, otherwise: HboneErrorCode): HboneErrorCode {
  switch (error.code) {
    case 'timeout':
      return 'dial-timeout'
    case 'refused':
    case 'unreachable':
      return 'dial'
    case 'tls':
    case 'tls-verify':
    case 'handshake-timeout':
    case 'aborted':
      return error.code
    case 'reset':
    case 'other':
      return otherwise
  }
}
