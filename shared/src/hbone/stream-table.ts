import { NumberedTable } from '../collections/index.ts'
import { ConnectionError } from './connection-error.ts'
import { ErrorCode } from './error-code.ts'
import { FrameType } from './frames.ts'
import type { MemoryShare } from './held-memory.ts'
import { ResetMemory } from './reset-memory.ts'
import type { SendScheduler } from './send-scheduler.ts'
import { StreamIds } from './stream-ids.ts'
import type { StreamKeeper, TunnelStream } from './tunnel-stream.ts'

export interface StreamTableOptions {
  /** The most that can be under way on one stream. */
  readonly streamWindowBytes: number
  /** While all streams together hold more for their applications, the peer is to get no credit on the connection. */
  readonly maxHeldBytes: number
  readonly send: Pick<SendScheduler, 'numberFrame'>
  readonly memory: Pick<MemoryShare, 'changed'>
  /** A stream has ended and is not in the table any more. */
  readonly onRemoved: () => void
  /** They hold no more than `maxHeldBytes` again. */
  readonly onRoom: () => void
}

/** The streams of a connection: those that are there, what they hold, and what is remembered of those that are over. */
export class StreamTable implements StreamKeeper {
  readonly ids = new StreamIds()
  /** Received for applications and not yet taken, all streams. */
  heldBytes = 0
  readonly #options: StreamTableOptions
  /** At most maxConcurrentStreams (server), or what the peer allows (client). */
  readonly #streams = new NumberedTable<TunnelStream>()
  /** Of these, those whose application is gone. */
  readonly #lingering = new Set<TunnelStream>()
  readonly #resets: ResetMemory

  constructor(options: StreamTableOptions) {
    this.#options = options
    this.#resets = new ResetMemory(options.streamWindowBytes)
  }

  get size(): number {
    return this.#streams.size
  }

  /** Memory held for them. */
  get bufferedBytes(): number {
    let bytes = 0
    for (const stream of this.list()) bytes += stream.bufferedBytes
    return bytes
  }

  get(id: number): TunnelStream | undefined {
    return this.#streams.get(id)
  }

  /** A copy, so that streams may end meanwhile. */
  list(): TunnelStream[] {
    return this.#streams.list()
  }

  /** Its id was opened just now. It stays until it calls `remove`. */
  add(stream: TunnelStream): void {
    this.#streams.add(stream)
  }

  /** To be called now and then, for those that linger. */
  tick(): void {
    this.#lingering.forEach((stream) => stream.stopLingering())
  }

  // ---- resets

  /** Ends a stream with RST_STREAM, whether or not it is here. */
  reset(id: number, h2Code: number): void {
    const stream = this.get(id)
    if (stream === undefined) this.sendReset(id, h2Code)
    else stream.breakOff(h2Code)
  }

  /** We reset that stream not long ago: the peer may not know yet. */
  wasReset(id: number): boolean {
    return this.#resets.has(id)
  }

  /** DATA on such a stream. Throws ConnectionError where it is more than can have been under way. */
  lateData(id: number, length: number, endStream: boolean): void {
    if (!this.#resets.takeData(id, length, endStream))
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'the peer sends on after the reset of a stream')
  }

  // ---- StreamKeeper

  held(change: number): void {
    const { maxHeldBytes, memory, onRoom } = this.#options
    const wasAbove = this.heldBytes > maxHeldBytes
    this.heldBytes += change
    memory.changed(change)
    if (wasAbove && this.heldBytes <= maxHeldBytes) onRoom()
  }

  sendReset(id: number, h2Code: number): void {
    this.#resets.add(id)
    this.#options.send.numberFrame(FrameType.rstStream, id, h2Code)
  }

  linger(stream: TunnelStream): void {
    this.#lingering.add(stream)
  }

  remove(stream: TunnelStream): void {
    if (!this.#streams.delete(stream.id)) return
    this.#lingering.delete(stream)
    this.#options.onRemoved()
  }
}
