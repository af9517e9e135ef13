/** Frame layout and numbers of RFC 9113, and nothing else. */

export const FRAME_HEADER_BYTES = 9

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const Flag = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const CLIENT_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** Window before any SETTINGS (RFC 9113 §6.9.2) and the largest one there is. */
export const DEFAULT_WINDOW = 65_535
export const MAX_WINDOW = 0x7fff_ffff

/** Largest frame that every peer must take (RFC 9113 §4.2), and the largest that SETTINGS may allow. */
export const DEFAULT_MAX_FRAME_BYTES = 16_384
export const LARGEST_MAX_FRAME_BYTES = 0xff_ffff

/** The fields of PRIORITY, also at the start of HEADERS with that flag. */
export const PRIORITY_BYTES = 5

export const MAX_STREAM_ID = 0x7fff_ffff

/** Byte by byte: several times faster than DataView or writeUInt32BE for so few bytes on the hot path. */
export function putFrameHeader(
  into: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  into[at] = length >>> 16
  into[at + 1] = length >>> 8
  into[at + 2] = length
  into[at + 3] = type
  into[at + 4] = flags
  putUint32(into, at + 5, streamId)
}

export function putUint32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}
