import type { Clock, Timer } from '../clock/index.ts'

/** A stream that is over for its peer, while the application has yet to take what was received. */
export interface Leftover {
  /** Received and not taken yet. */
  readonly heldBytes: number
  /** Changes whenever the application's kernel takes some of them. */
  readonly writeMark: number
  /** RST to the application, and the end. Calls `remove`. */
  giveUp(why: string): void
}

/** The bounds of Leftovers. */
export interface LeftoversOptions {
  readonly clock: Clock
  /** Bytes of all leftovers together. Default 64 MiB. */
  readonly maxBytes?: number
  /** Each is a descriptor and memory of the kernel, however few bytes are left. Default 1,000. */
  readonly maxCount?: number
}

interface Entry {
  bytes: number
  writeMark: number
  sweeps: number
  /** Sweeps since the application last took something. */
  idleSweeps: number
}

const SWEEP_MS = 10_000
/** 20 to 30 s. The kernel takes more only once a third of its send buffer is free, which may be 1 MB. */
const MAX_IDLE_SWEEPS = 3
/** 5 minutes: a reader that takes a byte now and then must not stay for ever. */
const MAX_SWEEPS = 30

/**
 * What peers left behind: no window, PING or end of a connection bounds it any more, and a peer can come again and leave more. So
 * all connections of a process share one of these. An application that goes on taking bytes gets the time to do so; one that does
 * not is reset, and so is the one that has waited longest where all of them together hold too much.
 */
export class Leftovers {
  readonly #clock: Clock
  readonly #maxBytes: number
  readonly #maxCount: number
  /** Oldest first. */
  readonly #entries = new Map<Leftover, Entry>()
  #bytes = 0
  #timer: Timer | undefined

  constructor({ clock, maxBytes = 67_108_864, maxCount = 1000 }: LeftoversOptions) {
    this.#clock = clock
    this.#maxBytes = maxBytes
    this.#maxCount = maxCount
  }

  /** As last looked at: what applications took since may still be counted. */
  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#entries.size
  }

  /** Counts it from now on; it may be given up before this returns. Without effect where it is counted already. */
  add(leftover: Leftover): void {
    if (this.#entries.has(leftover)) return
    const { heldBytes, writeMark } = leftover
    this.#entries.set(leftover, { bytes: heldBytes, writeMark, sweeps: 0, idleSweeps: 0 })
    this.#bytes += heldBytes
    this.#sweepLater()
    if (this.#isWithinBounds()) return
    for (const [other, entry] of this.#entries) this.#lookAt(other, entry)
    for (const [oldest] of this.#entries) {
      if (this.#isWithinBounds()) return
      oldest.giveUp('its peer has left, and too much is kept for applications that do not read')
    }
  }

  /** It is over. */
  remove(leftover: Leftover): void {
    const entry = this.#entries.get(leftover)
    if (entry === undefined) return
    this.#entries.delete(leftover)
    this.#bytes -= entry.bytes
    if (this.#entries.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #isWithinBounds(): boolean {
    return this.#bytes <= this.#maxBytes && this.#entries.size <= this.#maxCount
  }

  #lookAt({ heldBytes, writeMark }: Leftover, entry: Entry): void {
    this.#bytes += heldBytes - entry.bytes
    entry.bytes = heldBytes
    if (entry.writeMark !== writeMark) entry.idleSweeps = 0
    entry.writeMark = writeMark
  }

  #sweepLater(): void {
    this.#timer ??= this.#clock.after(SWEEP_MS, () => {
      this.#timer = undefined
      for (const [leftover, entry] of this.#entries) {
        this.#lookAt(leftover, entry)
        entry.sweeps++
        entry.idleSweeps++
        if (entry.idleSweeps < MAX_IDLE_SWEEPS && entry.sweeps < MAX_SWEEPS) continue
        leftover.giveUp('its peer has left, and the application does not take what was received')
      }
      if (this.#entries.size > 0) this.#sweepLater()
    })
  }
}
