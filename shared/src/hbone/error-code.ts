/** HTTP/2's error codes (RFC 9113 §7). */
export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
} as const

const NAMES = new Map<number, string>(
  Object.entries(ErrorCode).map(([key, code]) => [code, key.replaceAll(/[A-Z]/g, '_$&').toUpperCase()]),
)

/** `REFUSED_STREAM (7)`, for messages. */
export function nameOfCode(h2Code: number): string {
  return `${NAMES.get(h2Code) ?? 'unknown code'} (${h2Code})`
}
