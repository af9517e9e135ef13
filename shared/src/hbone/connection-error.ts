import { ErrorCode } from './error-code.ts'

/** A violation that ends the whole connection with GOAWAY (RFC 9113 §5.4.1). Caught by the connection, never by its users. */
export class ConnectionError extends Error {
  /** The HTTP/2 error code for GOAWAY. */
  readonly h2Code: number

  constructor(h2Code: number, message: string) {
    super(message)
    this.name = 'ConnectionError'
    this.h2Code = h2Code
  }
}

/** PROTOCOL_ERROR; `what` the peer did. */
export function violation(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, what)
}

/** FRAME_SIZE_ERROR. */
export function wrongSize(type: number, length: number): ConnectionError {
  return new ConnectionError(ErrorCode.frameSizeError, `a frame of type ${type} with ${length} bytes`)
}
