import type { CancelSignal } from './cancellation.ts'

interface Waiter<Value> {
  resolve(value: Value): void
  reject(reason: unknown): void
}

/** Everybody who waits for one thing, each until it is there or the own signal is aborted. The owner bounds their number. */
export class Waiters<Value> {
  readonly #waiting = new Set<Waiter<Value>>()

  get size(): number {
    return this.#waiting.size
  }

  /**
   * Resolves or rejects with the next outcome; rejects with the reason of `signal` where that is aborted first, having called
   * `onLeft`. Never called with a signal that is aborted already.
   */
  wait(signal?: CancelSignal, onLeft?: () => void): Promise<Value> {
    return new Promise((resolve, reject) => {
      const settled = (): void => {
        this.#waiting.delete(waiter)
        signal?.removeEventListener('abort', leave)
      }
      const waiter: Waiter<Value> = {
        resolve: (value) => {
          settled()
          resolve(value)
        },
        reject: (reason) => {
          settled()
          reject(reason)
        },
      }
      const leave = (): void => {
        waiter.reject(signal?.reason)
        onLeft?.()
      }
      this.#waiting.add(waiter)
      signal?.addEventListener('abort', leave)
    })
  }

  /** All who wait now have it. */
  resolve(value: Value): void {
    for (const waiter of this.#waiting) waiter.resolve(value)
  }

  /** All who wait now wait in vain. */
  reject(reason: unknown): void {
    for (const waiter of this.#waiting) waiter.reject(reason)
  }
}
