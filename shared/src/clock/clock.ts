import { performance } from 'node:perf_hooks'

/** A timer that its owner must cancel when it no longer needs it. */
export interface Timer {
  cancel(): void
}

/** Time as a dependency, so that tests take none. All values in milliseconds. */
export interface Clock {
  /** Milliseconds since the Unix epoch: what certificates, files and the log are dated by. It steps when somebody sets it. */
  now(): number
  /**
   * Whole milliseconds by a clock that never steps: what durations are measured by. Its start is this process's own, so
   * another process has no use for the value.
   */
  monotonicMs(): number
  /** Calls `run` once after `delayMs`. The timer does not keep the process alive. */
  after(delayMs: number, run: () => void): Timer
}

/** Longest delay that setTimeout takes; a longer one would fire at once. */
const MAX_DELAY_MS = 0x7fff_ffff

/** The machine's. Its timers keep no process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  // Whole, so that byte counts reckoned from it are too, and what comes within one tick has come together.
  monotonicMs: () => Math.floor(performance.now()),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS))
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
