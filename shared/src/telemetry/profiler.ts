import type { Session } from 'node:inspector/promises'
import type { Clock } from '../clock/index.ts'
import { TelemetryError } from './telemetry-error.ts'

/** Profiles of this process for Chrome's and VS Code's viewers. The inspector is loaded on first use only (4 MB). */
export class Profiler {
  readonly #clock: Clock
  #heap: Session | undefined
  #isBusy = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A `.cpuprofile` of the next seconds. Throws TelemetryError `profile` while another is taken, or when aborted. */
  async cpu(seconds: number, samplesPerSecond: number, signal: AbortSignal): Promise<string> {
    if (this.#isBusy) throw unavailable('a CPU profile is being taken; try again when it has ended')
    this.#isBusy = true
    const session = await connect()
    try {
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: Math.round(1_000_000 / samplesPerSecond) })
      await session.post('Profiler.start')
      await this.#pass(seconds * 1000, signal)
      const { profile } = await session.post('Profiler.stop')
      return JSON.stringify(profile)
    } finally {
      session.disconnect()
      this.#isBusy = false
    }
  }

  /** Starts or stops to sample allocations. Costs little; samples are kept until it is stopped. */
  async sampleHeap(isActive: boolean): Promise<void> {
    if (isActive === (this.#heap !== undefined)) return
    if (this.#heap) {
      this.#heap.disconnect()
      this.#heap = undefined
      return
    }
    this.#heap = await connect()
    await this.#heap.post('HeapProfiler.startSampling')
  }

  /** A `.heapprofile` of what was allocated since sampling began and still lives. Throws TelemetryError `profile`. */
  async heap(): Promise<string> {
    if (!this.#heap) throw unavailable('heap profiling is off; ask for /debug/pprof/heap/profiling?activate=true first')
    const { profile } = await this.#heap.post('HeapProfiler.getSamplingProfile')
    return JSON.stringify(profile)
  }

  async #pass(durationMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const aborted = (): void => {
        timer.cancel()
        reject(unavailable('the client went away'))
      }
      const timer = this.#clock.after(durationMs, () => {
        signal.removeEventListener('abort', aborted)
        resolve()
      })
      signal.addEventListener('abort', aborted, { once: true })
    })
  }
}

async function connect(): Promise<Session> {
  const { Session } = await import('node:inspector/promises')
  const session = new Session()
  session.connect()
  return session
}

function unavailable(why: string): TelemetryError {
  return new TelemetryError('profile', why, { source: 'internal', retryable: true })
}
