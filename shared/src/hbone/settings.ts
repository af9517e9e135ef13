import { ConnectionError } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import { DEFAULT_MAX_FRAME_BYTES, DEFAULT_WINDOW, LARGEST_MAX_FRAME_BYTES, MAX_WINDOW, putUint32 } from './frames.ts'
import type { HboneLimits } from './limits.ts'

/** RFC 9113 §6.5.2. */
const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

const ENTRY_BYTES = 6

/** Our dynamic table for decoding: the protocol's default, so that nothing needs to be said. */
export const HEADER_TABLE_BYTES = 4096

/** The payload of our own SETTINGS. */
export function encodeSettings(role: 'client' | 'server', limits: HboneLimits): Uint8Array {
  const entries: [number, number][] = [
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxFrameSize, limits.maxFrameBytes],
    [Setting.maxHeaderListSize, role === 'server' ? limits.maxRequestHeaderBytes : limits.maxResponseHeaderBytes],
    role === 'server' ? [Setting.maxConcurrentStreams, limits.maxConcurrentStreams] : [Setting.enablePush, 0],
  ]
  const payload = new Uint8Array(entries.length * ENTRY_BYTES)
  for (const [index, [id, value]] of entries.entries()) {
    payload[index * ENTRY_BYTES + 1] = id
    putUint32(payload, index * ENTRY_BYTES + 2, value)
  }
  return payload
}

/** What the peer allows us. Begins with the protocol's defaults. */
export class PeerSettings {
  initialWindow = DEFAULT_WINDOW
  maxFrameBytes = DEFAULT_MAX_FRAME_BYTES
  maxConcurrentStreams = Number.POSITIVE_INFINITY
  /** Of its HPACK decoder: the smallest that it ever named, for that is what our encoder must have agreed to. */
  headerTableBytes = HEADER_TABLE_BYTES
  readonly #role: 'client' | 'server'

  /** `role` is ours. */
  constructor(role: 'client' | 'server') {
    this.#role = role
  }

  /** Takes over the payload of a SETTINGS frame; unknown settings are ignored. Throws ConnectionError on values not allowed. */
  apply(payload: Buffer): void {
    for (let at = 0; at + ENTRY_BYTES <= payload.length; at += ENTRY_BYTES) {
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    }
  }

  #set(id: number, value: number): void {
    // A server must not even say that it would push (RFC 9113 §6.5.2).
    if (id === Setting.enablePush && value > (this.#role === 'client' ? 0 : 1))
      throw new ConnectionError(ErrorCode.protocolError, `ENABLE_PUSH ${value}`)
    if (id === Setting.headerTableSize) this.headerTableBytes = Math.min(this.headerTableBytes, value)
    if (id === Setting.maxConcurrentStreams) this.maxConcurrentStreams = value
    if (id === Setting.initialWindowSize) {
      if (value > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, `INITIAL_WINDOW_SIZE ${value}`)
      this.initialWindow = value
    }
    if (id === Setting.maxFrameSize) {
      if (value < DEFAULT_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES)
        throw new ConnectionError(ErrorCode.protocolError, `MAX_FRAME_SIZE ${value}`)
      this.maxFrameBytes = value
    }
  }
}
