import { ConnectionError, violation, wrongSize } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import { Flag, FrameType, PRIORITY_BYTES } from './frames.ts'
import { HpackDecoder, HpackError, type HeaderField } from './hpack/index.ts'
import { HEADER_TABLE_BYTES } from './settings.ts'

/** Padding, with its length, and priority fields that may surround a header block. */
const MAX_SURROUNDING_BYTES = 256 + PRIORITY_BYTES

/** A header list that has come completely. */
export interface ReceivedHeaders {
  readonly streamId: number
  readonly endStream: boolean
  /** In the order received; empty where the list is too large. */
  readonly fields: HeaderField[]
  /** It is above our limit. */
  readonly tooLarge: boolean
}

export interface HeaderAssemblyOptions {
  /** The most that a header block and its list may have, in bytes. */
  readonly maxHeaderBytes: number
  readonly maxContinuations: number
}

interface OpenBlock {
  readonly streamId: number
  readonly endStream: boolean
  readonly fragments: Buffer[]
  bytes: number
}

/**
 * Header blocks, put together from HEADERS and CONTINUATION (RFC 9113 §4.3, §6.2, §6.10) and decoded. Of each frame it is asked
 * first whether it may come, by its length, and then given the payload. Throws ConnectionError, and must not be used again then.
 */
export class HeaderAssembly {
  /** Octets of header blocks decoded so far. */
  decodedBytes = 0
  readonly #hpack: HpackDecoder
  readonly #maxBytes: number
  readonly #maxContinuations: number
  /** The header block that CONTINUATION must go on with before anything else. */
  #open: OpenBlock | undefined

  constructor({ maxHeaderBytes, maxContinuations }: HeaderAssemblyOptions) {
    this.#maxBytes = maxHeaderBytes
    this.#maxContinuations = maxContinuations
    this.#hpack = new HpackDecoder({ maxTableSize: HEADER_TABLE_BYTES, maxHeaderListBytes: maxHeaderBytes })
  }

  /** The stream whose header block has begun: no frame may come but its CONTINUATION. */
  get openStreamId(): number | undefined {
    return this.#open?.streamId
  }

  /** HEADERS of that length begins. */
  admitHeaders(flags: number, length: number): void {
    // Too small for the fields that its flags announce (§4.2); padding that leaves too little is judged later (§6.2).
    if (length < mandatoryBytes(flags)) throw wrongSize(FrameType.headers, length)
    this.#admit(length)
  }

  /** CONTINUATION of that length begins. */
  admitContinuation(length: number): void {
    if (this.#open === undefined) throw violation('CONTINUATION without HEADERS')
    this.#admit(this.#open.bytes + length)
  }

  /** A whole HEADERS frame, lent for the call. Undefined where the block goes on. */
  headers(flags: number, streamId: number, payload: Buffer): ReceivedHeaders | undefined {
    const endStream = (flags & Flag.endStream) !== 0
    const fragment = fragmentOf(flags, payload)
    if ((flags & Flag.endHeaders) !== 0) return this.#decode(streamId, fragment, endStream)
    this.#open = { streamId, endStream, fragments: [Buffer.from(fragment)], bytes: fragment.length }
    return undefined
  }

  /** A whole CONTINUATION frame, lent for the call. Undefined where the block goes on. */
  continuation(flags: number, payload: Buffer): ReceivedHeaders | undefined {
    const block = this.#open
    if (block === undefined) return undefined
    block.fragments.push(Buffer.from(payload))
    block.bytes += payload.length
    if ((flags & Flag.endHeaders) !== 0) {
      this.#open = undefined
      return this.#decode(block.streamId, Buffer.concat(block.fragments), block.endStream)
    }
    if (block.fragments.length > this.#maxContinuations)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'a header block in too many pieces')
    return undefined
  }

  #admit(bytes: number): void {
    if (bytes > this.#maxBytes + MAX_SURROUNDING_BYTES)
      throw new ConnectionError(ErrorCode.enhanceYourCalm, `a header block of ${bytes} bytes`)
  }

  /** Decoded whatever becomes of the stream: the compression state is the connection's. */
  #decode(streamId: number, block: Buffer, endStream: boolean): ReceivedHeaders {
    this.decodedBytes += block.length
    try {
      const { headers: fields, tooLarge } = this.#hpack.decode(block)
      return { streamId, endStream, fields, tooLarge }
    } catch (error) {
      if (!(error instanceof HpackError)) throw error
      const code = error.code === 'header-list-too-large' ? ErrorCode.enhanceYourCalm : ErrorCode.compressionError
      throw new ConnectionError(code, error.message)
    }
  }
}

/** The part of a HEADERS payload that is of the header block. */
function fragmentOf(flags: number, payload: Buffer): Buffer {
  const start = mandatoryBytes(flags)
  const end = payload.length - ((flags & Flag.padded) === 0 ? 0 : (payload[0] ?? 0))
  if (start > end) throw violation('padding longer than its frame')
  return payload.subarray(start, end)
}

/** What HEADERS with these flags have in front of the header block. */
function mandatoryBytes(flags: number): number {
  return ((flags & Flag.padded) === 0 ? 0 : 1) + ((flags & Flag.priority) === 0 ? 0 : PRIORITY_BYTES)
}
