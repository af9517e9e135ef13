import { ReceiveWindow } from './flow-control.ts'
import { FrameType } from './frames.ts'
import type { SendScheduler } from './send-scheduler.ts'

/** What the credit of a stream needs of its connection. */
export interface CreditHost {
  readonly send: Pick<SendScheduler, 'numberFrame'>
  /** What the peer should have under way on one stream at present. */
  readonly windowBytes: number
  readonly streams: {
    /** Bytes received for applications that did not take them yet changed by so many. */
    held(change: number): void
  }
}

/**
 * What the peer may send on one stream, until it ends, and what of it the application has yet to take. The peer gets credit
 * for what the application took, and for what needs none to take it.
 */
export class ReceiveCredit {
  readonly #host: CreditHost
  readonly #streamId: number
  readonly #window: ReceiveWindow
  #heldBytes = 0
  #hasEnded = false

  constructor(host: CreditHost, streamId: number, windowBytes: number) {
    this.#host = host
    this.#streamId = streamId
    this.#window = new ReceiveWindow(windowBytes)
  }

  /** Received and not yet taken. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** The peer sends nothing more: it is given no credit from now on. */
  end(): void {
    this.#hasEnded = true
  }

  /** A DATA frame of `length` bytes, padding included, begins. False when the peer exceeds the window. */
  receive(length: number): boolean {
    return this.#window.receive(length)
  }

  /** Of what was received, so many bytes wait for the application. */
  hold(bytes: number): void {
    this.#changeHeld(bytes)
  }

  /** The application took so many of the bytes that are held. */
  taken(bytes: number): void {
    this.#changeHeld(-bytes)
    this.release(bytes)
  }

  /** So many bytes that were received are done with, and were not held: padding. */
  release(bytes: number): void {
    const credit = this.#window.release(bytes, this.#host.windowBytes)
    if (credit > 0 && !this.#hasEnded) this.#host.send.numberFrame(FrameType.windowUpdate, this.#streamId, credit)
  }

  /** What is held is for nobody any more. */
  drop(): void {
    this.#changeHeld(-this.#heldBytes)
  }

  #changeHeld(change: number): void {
    if (change === 0) return
    this.#heldBytes += change
    this.#host.streams.held(change)
  }
}
