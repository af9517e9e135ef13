/** What ends work that somebody waits for. The part of an AbortSignal that is needed, so every AbortSignal is one. */
export interface CancelSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/**
 * An AbortController and its signal in one small object, for what is made with every connection: 0.1 µs where Node's own, with
 * two listeners that come and go, takes 0.45 in a loop. Narrower than an AbortSignal: a listener is added once, must not throw,
 * and may take away itself only while listeners are called.
 */
export class Cancellation implements CancelSignal {
  #listeners: (() => void)[] | undefined
  #aborted = false
  #reason: unknown

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  /** The first reason counts. */
  abort(reason?: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    const listeners = this.#listeners
    this.#listeners = undefined
    listeners?.forEach((listener) => listener())
  }

  /** Few at a time: those who wait for one connection. Never called where it is aborted already. */
  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.#aborted) (this.#listeners ??= []).push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners?.indexOf(listener) ?? -1
    if (at >= 0) this.#listeners?.splice(at, 1)
  }
}
