import type { Splice } from '../io/index.ts'
import type { TunnelStream } from './tunnel-stream.ts'

/** A stream in the data phase, as its user sees it. */
export class TunnelSplice implements Splice {
  readonly finished: Promise<void>
  readonly #stream: TunnelStream
  readonly #tunnelIsA: boolean

  constructor(stream: TunnelStream, finished: Promise<void>, tunnelIsA: boolean) {
    this.#stream = stream
    this.finished = finished
    this.#tunnelIsA = tunnelIsA
  }

  get bytesAtoB(): number {
    return this.#tunnelIsA ? this.#stream.bytesToApp : this.#stream.bytesFromApp
  }

  get bytesBtoA(): number {
    return this.#tunnelIsA ? this.#stream.bytesFromApp : this.#stream.bytesToApp
  }

  abort(reset = false): void {
    this.#stream.abort(undefined, reset)
  }
}
