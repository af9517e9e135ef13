import type { BulkBudget, BulkWaiter } from './bulk-budget.ts'
import { PLAIN_READ_BYTES } from './burst.ts'
import type { Splice } from './byte-io.ts'
import type { PortOwner, TcpPort } from './byte-port.ts'
import { IoError, isSwallowed } from './io-error.ts'
import type { Slab } from './slab.ts'

/** Reads from this length on are bulk; messages pass without a budget. */
const BULK_BYTES = 16_384

/** Two plain TCP connections joined. Used where no tunnel is involved: passthrough. */
export class PlainSplice implements Splice {
  readonly finished: Promise<void>
  readonly #a: Side
  readonly #b: Side
  readonly #resolve: () => void
  readonly #reject: (error: IoError) => void
  #isOver = false

  /** The two functions attach an owner to the connections A and B. */
  constructor(budget: BulkBudget, attachA: (owner: PortOwner) => TcpPort, attachB: (owner: PortOwner) => TcpPort) {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.finished = promise
    // Whoever does not look at `finished` is not told; that must not end the process.
    promise.catch(() => {})
    this.#resolve = resolve
    this.#reject = reject
    this.#a = new Side(this, budget, attachA)
    this.#b = new Side(this, budget, attachB)
    this.#a.other = this.#b
    this.#b.other = this.#a
  }

  get bytesAtoB(): number {
    return this.#a.received
  }

  get bytesBtoA(): number {
    return this.#b.received
  }

  abort(reset = false): void {
    this.fail(new IoError('aborted', 'splice aborted'), reset)
  }

  /** One side has changed: when both directions have ended and nothing waits to be written, it is over. */
  settle(): void {
    if (this.#isOver || !this.#a.hasEnded || !this.#b.hasEnded) return
    if (this.#a.port.bufferedBytes > 0 || this.#b.port.bufferedBytes > 0) return
    this.#isOver = true
    this.#a.port.close()
    this.#b.port.close()
    this.#resolve()
  }

  /** Ends both sides at once. With RST when data may be missing, so that no application takes it for a complete stream. */
  fail(error: IoError, reset: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#a.port.close(reset)
    this.#b.port.close(reset)
    this.#reject(error)
  }
}

/** One of the two connections, and the direction that is read from it. */
class Side implements PortOwner, BulkWaiter {
  readonly port: TcpPort
  readonly #splice: PlainSplice
  readonly #budget: BulkBudget
  #awaitsBudget = false
  other: Side | undefined
  received = 0
  /** Nothing more will be read from here: its end was seen, or the other side takes nothing any more. */
  hasEnded = false

  constructor(splice: PlainSplice, budget: BulkBudget, attach: (owner: PortOwner) => TcpPort) {
    this.#splice = splice
    this.#budget = budget
    this.port = attach(this)
  }

  onData(slab: Slab, start: number, end: number): void {
    const other = this.other
    if (other === undefined || this.hasEnded) return
    this.received += end - start
    const result = other.port.write(slab, start, end)
    if (result === 'taken' && (end - start < BULK_BYTES || this.#budget.take(end - start))) return
    this.port.pause()
    if (result === 'failed') other.#lose()
    else if (result === 'taken') this.#resume()
  }

  onEnd(): void {
    if (this.hasEnded) return
    this.hasEnded = true
    if (this.other !== undefined) this.other.#endWriting()
    this.#splice.settle()
  }

  onTaken(): void {
    const { other } = this
    if (other !== undefined && this.port.bufferedBytes === 0) other.#resume()
    this.#splice.settle()
  }

  goOn(): void {
    this.#awaitsBudget = false
    if (this.other?.port.bufferedBytes === 0) this.#resume()
  }

  onError(errno: string): void {
    if (isSwallowed(errno)) this.#lose()
    else this.#splice.fail(IoError.ofErrno(errno, 'copy'), true)
  }

  /** Reads on, in this turn of the loop or a later one. */
  #resume(): void {
    if (this.#awaitsBudget) return
    this.#awaitsBudget = !this.#budget.take(PLAIN_READ_BYTES)
    if (this.#awaitsBudget) this.#budget.wait(this)
    else this.port.resume()
  }

  /** This connection is gone without having ended properly: an orderly end for the other one. */
  #lose(): void {
    this.hasEnded = true
    this.port.close()
    const other = this.other
    if (other !== undefined) {
      other.hasEnded = true
      other.#endWriting()
    }
    this.#splice.settle()
  }

  /** FIN to this connection; when both directions have ended, closing says the same with one call less. */
  #endWriting(): void {
    if (!this.hasEnded) this.port.end()
  }
}
