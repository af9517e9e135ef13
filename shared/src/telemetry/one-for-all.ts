import type { Clock } from '../clock/index.ts'

/** Between two so many times as long as one took, up to the second: they get a quarter of the process at most. */
const PAUSES = 3
const MAX_PAUSE_MS = 1000

/**
 * What is made on demand and costs time. Who asks while it is being made gets the same, and who asks soon after waits a little,
 * so that any number of clients leaves the process most of its time.
 */
export class OneForAll<T> {
  readonly #make: () => T | Promise<T>
  readonly #clock: Clock
  #underWay: Promise<T> | undefined
  #notBeforeMs = 0

  constructor(make: () => T | Promise<T>, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** Rejects as `make` does. */
  get(): Promise<T> {
    this.#underWay ??= this.#makeOne()
    return this.#underWay
  }

  async #makeOne(): Promise<T> {
    await untilMs(this.#notBeforeMs, this.#clock)
    const sinceMs = this.#clock.monotonicMs()
    try {
      return await Promise.try(this.#make)
    } finally {
      const nowMs = this.#clock.monotonicMs()
      this.#notBeforeMs = nowMs + Math.min(PAUSES * (nowMs - sinceMs), MAX_PAUSE_MS)
      this.#underWay = undefined
    }
  }
}

/** At once where that time is past. */
async function untilMs(timeMs: number, clock: Clock): Promise<void> {
  const pauseMs = timeMs - clock.monotonicMs()
  if (pauseMs <= 0) return
  await new Promise<void>((resolve) => {
    clock.after(pauseMs, resolve)
  })
}
