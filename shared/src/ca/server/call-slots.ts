export interface CallSlotsOptions {
  /** Calls at the same time. */
  readonly max: number
  /** Of them from one address. */
  readonly maxPerSource: number
}

/** Bounds the calls under way, and with them what is held of their messages. */
export class CallSlots {
  readonly #options: CallSlotsOptions
  readonly #counts = new Map<string, number>()
  #taken = 0

  constructor(options: CallSlotsOptions) {
    this.#options = options
  }

  /** Gives the place back when called, once and no more; undefined where there is none. */
  take(source: string): (() => void) | undefined {
    const { max, maxPerSource } = this.#options
    const count = this.#counts.get(source) ?? 0
    if (this.#taken >= max || count >= maxPerSource) return undefined
    this.#taken++
    this.#counts.set(source, count + 1)
    let isHeld = true
    return () => {
      if (isHeld) this.#release(source)
      isHeld = false
    }
  }

  #release(source: string): void {
    this.#taken--
    const count = (this.#counts.get(source) ?? 0) - 1
    if (count > 0) this.#counts.set(source, count)
    else this.#counts.delete(source)
  }
}
