/** An open connection that may have to make room for another. */
export interface HeldConnection {
  /** The address of the client. */
  readonly source: string
  /** Goes before others of its source. */
  readonly isIdle: boolean
  destroy(): void
  once(event: 'close', listener: () => void): unknown
}

/** Bounds the open connections so that no client keeps another out: a new one always gets in, an old one goes. */
export class ConnectionSlots {
  readonly #max: number
  /** Oldest first. */
  readonly #held = new Set<HeldConnection>()

  constructor(max: number) {
    this.#max = max
  }

  take(connection: HeldConnection): void {
    if (this.#held.size >= this.#max) {
      const leaving = this.#leaving()
      if (leaving) this.#held.delete(leaving)
      leaving?.destroy()
    }
    this.#held.add(connection)
    connection.once('close', () => this.#held.delete(connection))
  }

  /**
   * The oldest that is idle, or else the oldest, of the client with most connections: so whoever opens hundreds at once is in
   * the way of himself only, not of a probe that was accepted a moment before and has not been read yet.
   */
  #leaving(): HeldConnection | undefined {
    const counts = new Map<string, number>()
    for (const { source } of this.#held) counts.set(source, (counts.get(source) ?? 0) + 1)
    const most = Math.max(...counts.values())
    const candidates = [...this.#held].filter(({ source }) => counts.get(source) === most)
    return candidates.find(({ isIdle }) => isIdle) ?? candidates[0]
  }
}
