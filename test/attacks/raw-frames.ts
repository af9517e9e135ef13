/** HTTP/2 frames and header blocks made by hand, valid or not: nothing here comes from the code under attack. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const Type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  unknown: 0xfa,
} as const

export const END_STREAM = 0x1
export const ACK = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8
export const PRIORITY = 0x20

export const Code = {
  noError: 0,
  protocol: 1,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const

/** `length` may lie about the payload. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i)
  return bytes
}

export function settings(...entries: (readonly [id: number, value: number])[]): Buffer {
  return frame(Type.settings, 0, 0, settingsPayload(...entries))
}

export function settingsPayload(...entries: (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * entries.length)
  for (const [i, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, 6 * i)
    payload.writeUInt32BE(value, 6 * i + 2)
  }
  return payload
}

export const reset = (stream: number, code: number = Code.cancel) => frame(Type.reset, 0, stream, u32(code))
export const windowUpdate = (stream: number, increment: number) => frame(Type.windowUpdate, 0, stream, u32(increment))
export const ping = () => frame(Type.ping, 0, 0, Buffer.alloc(8))
export const goaway = (lastStream: number, code: number = Code.noError) =>
  frame(Type.goaway, 0, 0, u32(lastStream, code))
export const data = (stream: number, payload: Buffer | string = '', flags = 0) =>
  frame(Type.data, flags, stream, Buffer.from(payload))
export const headers = (stream: number, block: Buffer, flags = END_HEADERS) => frame(Type.headers, flags, stream, block)
export const continuation = (stream: number, block: Buffer, flags = 0) => frame(Type.continuation, flags, stream, block)

/** HPACK literal with a new name; `kept` in the peer's dynamic table or not. */
export function literal(name: string, value: string, kept = false): Buffer {
  return Buffer.concat([Buffer.from([kept ? 0x40 : 0x00]), text(name), text(value)])
}

/** HPACK reference to the newest entry of the dynamic table. */
export const NEWEST = 0xbe

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const size = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest >>>= 7) size.push((rest & 0x7f) | 0x80)
  return Buffer.concat([Buffer.from([...size, rest]), bytes])
}

/** A CONNECT as HBONE peers send it. */
export function connectBlock(authority = 'echo:1', ...more: Buffer[]): Buffer {
  return Buffer.concat([literal(':method', 'CONNECT'), literal(':authority', authority), ...more])
}

export const CONNECT = connectBlock()
export const OK = Buffer.from([0x88])
