/**
 * After so many frames the other connections of the process get their turn: libuv reads up to 2 MB of one before it looks at the
 * next, 40 ms of work where the frames are tiny. Bulk has some hundred frames in that much.
 */
const FRAMES_AT_ONCE = 8192

/** While small messages share a connection with bulk, others get their turn after so much of it: 0.1 ms of work. */
const CONTENDED_BYTES_AT_ONCE = 65_536

/** What a connection has read since others of the process had their turn. */
export class ReadingTurn {
  #framesBefore = 0
  #bytes = 0

  /** More was read; `frames` are those of the connection so far. True where that is enough: then the next turn begins. */
  isOver(frames: number, bytes: number, isContended: boolean): boolean {
    this.#bytes += bytes
    const isEnough = isContended && this.#bytes >= CONTENDED_BYTES_AT_ONCE
    if (!isEnough && frames - this.#framesBefore < FRAMES_AT_ONCE) return false
    this.#framesBefore = frames
    this.#bytes = 0
    return true
  }
}
