import { ErrorCode } from './frames.ts'

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

const NAMES = new Map<number, string>([
  [ErrorCode.noError, 'NO_ERROR'],
  [ErrorCode.protocolError, 'PROTOCOL_ERROR'],
  [ErrorCode.internalError, 'INTERNAL_ERROR'],
  [ErrorCode.flowControlError, 'FLOW_CONTROL_ERROR'],
  [ErrorCode.settingsTimeout, 'SETTINGS_TIMEOUT'],
  [ErrorCode.streamClosed, 'STREAM_CLOSED'],
  [ErrorCode.frameSizeError, 'FRAME_SIZE_ERROR'],
  [ErrorCode.refusedStream, 'REFUSED_STREAM'],
  [ErrorCode.cancel, 'CANCEL'],
  [ErrorCode.compressionError, 'COMPRESSION_ERROR'],
  [ErrorCode.connectError, 'CONNECT_ERROR'],
  [ErrorCode.enhanceYourCalm, 'ENHANCE_YOUR_CALM'],
])

/** `CANCEL (8)`, for messages. */
export function nameOfCode(h2Code: number): string {
  return `${NAMES.get(h2Code) ?? 'unknown code'} (${h2Code})`
}
