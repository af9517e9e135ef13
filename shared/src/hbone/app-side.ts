import { ByteQueue, HeapSlab, type Slab, type TcpPort } from '../io/index.ts'

/** What became of bytes for the application: with its kernel, still here, lost because it is gone, or for nobody. */
export type Written = 'taken' | 'pending' | 'failed' | 'nobody'

/**
 * The application's side of a tunnel. Before the application is attached what comes for it is kept, which the stream's window
 * bounds; when it is gone nothing more is for anybody.
 */
export class AppSide {
  /** Bytes of the peer that went to the application. */
  bytesWritten = 0
  #port: TcpPort | undefined
  #state: 'awaited' | 'attached' | 'gone' = 'awaited'
  #early: ByteQueue | undefined
  /** Of what the application has yet to take, these first bytes did not come from the peer. */
  #preludeBytes = 0

  get isAwaited(): boolean {
    return this.#state === 'awaited'
  }

  get isAttached(): boolean {
    return this.#state === 'attached'
  }

  get isGone(): boolean {
    return this.#state === 'gone'
  }

  /** What its kernel did not take yet. */
  get pendingBytes(): number {
    return this.#port?.bufferedBytes ?? 0
  }

  /** All memory held for it. */
  get bufferedBytes(): number {
    return (this.#early?.length ?? 0) + this.pendingBytes
  }

  /** Changes whenever its kernel takes some of it. */
  get writeMark(): number {
    return this.#port?.writeMark ?? 0
  }

  /** Owns `port` from here. `prelude` goes to it before anything of the peer. Returns what was kept, to be written now. */
  attach(port: TcpPort, prelude: Buffer | undefined): ByteQueue | undefined {
    this.#state = 'attached'
    this.#port = port
    if (prelude !== undefined && port.write(new HeapSlab(prelude), 0, prelude.length) === 'pending')
      this.#preludeBytes = prelude.length
    const early = this.#early
    this.#early = undefined
    return early
  }

  /** Bytes of the peer, lent for the call. */
  write(slab: Slab, start: number, end: number): Written {
    if (this.#port !== undefined) {
      this.bytesWritten += end - start
      return this.#port.write(slab, start, end)
    }
    if (this.#state !== 'awaited') return 'nobody'
    this.#early ??= new ByteQueue()
    this.#early.append(slab.bytes, start, end)
    return 'pending'
  }

  /** Its kernel took so many bytes: returns how many of them were the peer's. */
  taken(bytes: number): number {
    const ownBytes = Math.min(this.#preludeBytes, bytes)
    this.#preludeBytes -= ownBytes
    return bytes - ownBytes
  }

  pause(): void {
    this.#port?.pause()
  }

  resume(inSmallBursts: boolean): void {
    this.#port?.resume(inSmallBursts)
  }

  /** FIN, after everything written. */
  end(): void {
    this.#port?.end()
  }

  /** Nothing goes to it any more; what is still kept is dropped. FIN, or RST where `reset`. */
  close(reset?: boolean): void {
    this.#port?.close(reset)
    this.#port = undefined
    this.#early = undefined
  }

  /** It went away by itself. */
  lose(): void {
    this.#state = 'gone'
    this.close()
  }
}
