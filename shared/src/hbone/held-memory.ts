/** Default of HeldMemory: what 256 streams hold whose window is full. */
export const MAX_HELD_MEMORY_BYTES = 1_073_741_824

/** A connection as it is seen here. */
export interface MemoryHolder {
  /** Resolves when it holds nothing any more. */
  readonly closed: Promise<void>
  readonly streams: { list(): Iterable<StreamWithMemory> }
}

interface StreamWithMemory {
  readonly bufferedBytes: number
  /** Ends it and gives back its memory at once. */
  relieve(why: string): void
}

/**
 * What all connections of a process hold for those who do not take it: applications that do not read, and peers that give no
 * credit. Flow control bounds it for a stream and for a connection, not for how many of them there are. Where all of it
 * together is too much, streams are reset until it is not: of the share that holds most, the stream that holds most, so that
 * the others' go on.
 */
export class HeldMemory {
  readonly #maxBytes: number
  readonly #shares = new Set<MemoryShare>()
  #bytes = 0
  #isScheduled = false

  constructor(maxBytes = MAX_HELD_MEMORY_BYTES) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Shares that have a connection: at most one for each pod. */
  get shares(): number {
    return this.#shares.size
  }

  /** For the connections of one pod. It need not be given back. */
  share(): MemoryShare {
    return new MemoryShare({
      changed: (bytes) => this.#changed(bytes),
      opened: (share) => void this.#shares.add(share),
      emptied: (share) => void this.#shares.delete(share),
    })
  }

  #changed(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes <= this.#maxBytes || this.#isScheduled) return
    this.#isScheduled = true
    // Not within the call of a stream, which might be the one that is reset.
    queueMicrotask(() => this.#relieve())
  }

  #relieve(): void {
    this.#isScheduled = false
    while (this.#bytes > this.#maxBytes) {
      let most: MemoryShare | undefined
      for (const share of this.#shares) if (share.bytes > (most?.bytes ?? 0)) most = share
      if (most?.resetLargest(`${this.#bytes} bytes are held for applications and peers that do not read`) !== true)
        return
    }
  }
}

interface ShareOwner {
  changed(bytes: number): void
  opened(share: MemoryShare): void
  emptied(share: MemoryShare): void
}

/** What the connections of one pod hold. */
export class MemoryShare {
  bytes = 0
  readonly #owner: ShareOwner
  readonly #connections = new Set<MemoryHolder>()

  constructor(owner: ShareOwner) {
    this.#owner = owner
  }

  /** Streams of this connection may be reset until it is closed. */
  add(connection: MemoryHolder): void {
    if (this.#connections.size === 0) this.#owner.opened(this)
    this.#connections.add(connection)
    void connection.closed.then(() => {
      this.#connections.delete(connection)
      if (this.#connections.size === 0) this.#owner.emptied(this)
    })
  }

  /** One of its streams holds so many bytes more, or less. */
  changed(bytes: number): void {
    this.bytes += bytes
    this.#owner.changed(bytes)
  }

  /** Resets the stream that holds most; false where none holds anything. */
  resetLargest(why: string): boolean {
    let largest: StreamWithMemory | undefined
    let most = 0
    for (const { streams } of this.#connections) {
      for (const stream of streams.list()) {
        const { bufferedBytes } = stream
        if (bufferedBytes <= most) continue
        largest = stream
        most = bufferedBytes
      }
    }
    largest?.relieve(why)
    return largest !== undefined
  }
}
