/**
 * After so many frames the other connections of the process get their turn: libuv reads up to 2 MB of one before it looks at the
 * next, 40 ms of work where the frames are tiny. Bulk has some hundred frames in that much.
 */
const FRAMES_AT_ONCE = 8192

/** So many octets of header blocks count like a frame: decoding fields of one octet takes that long. */
const HEADER_BYTES_PER_FRAME = 16

/** A TLS record counts like so many frames: 3 µs go by until it is here, which a peer can spend on a single octet. */
const FRAMES_PER_READ = 8

/** While small messages share a connection with bulk, others get their turn after so much of it: 0.1 ms of work. */
const CONTENDED_BYTES_AT_ONCE = 65_536

/** What a connection has read since others of the process had their turn. */
export class ReadingTurn {
  #reads = 0
  #workBefore = 0
  #bytes = 0

  /**
   * More was read, in one piece; `frames` and `headerBytes` are those of the connection so far. True where that is enough: then
   * the next turn begins.
   */
  isOver(frames: number, headerBytes: number, bytes: number, isContended: boolean): boolean {
    this.#reads++
    this.#bytes += bytes
    const work = frames + headerBytes / HEADER_BYTES_PER_FRAME + this.#reads * FRAMES_PER_READ
    const isEnough = isContended && this.#bytes >= CONTENDED_BYTES_AT_ONCE
    if (!isEnough && work - this.#workBefore < FRAMES_AT_ONCE) return false
    this.#workBefore = work
    this.#bytes = 0
    return true
  }
}
