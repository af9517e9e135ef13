import type { Session } from 'node:inspector/promises'
import type { Clock } from '../clock/index.ts'
import { TelemetryError } from './telemetry-error.ts'

/** Profiles of this process for Chrome's and VS Code's viewers. The inspector is loaded on first use only (4 MB). */
export class Profiler {
  readonly #clock: Clock
  /** While it samples allocations; set before it began, so that one who asks meanwhile does not begin another. */
  #heap: Promise<Session> | undefined
  #isBusy = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A `.cpuprofile` of the next seconds. Throws TelemetryError `profile` while another is taken, or when aborted. */
  async cpu(seconds: number, samplesPerSecond: number, signal: AbortSignal): Promise<string> {
    if (this.#isBusy) throw unavailable('a CPU profile is being taken; try again when it has ended')
    this.#isBusy = true
    try {
      return await this.#cpu(seconds, samplesPerSecond, signal)
    } finally {
      this.#isBusy = false
    }
  }

  /** Starts or stops to sample allocations. Costs little; samples are kept until it is stopped. */
  async sampleHeap(isActive: boolean): Promise<void> {
    const heap = this.#heap
    if (isActive) {
      this.#heap ??= sampling()
      await this.#heap
    } else {
      this.#heap = undefined
      ;(await heap)?.disconnect()
    }
  }

  /** A `.heapprofile` of what was allocated since sampling began and still lives. Throws TelemetryError `profile`. */
  async heap(): Promise<string> {
    if (!this.#heap) throw unavailable('heap profiling is off; ask for /debug/pprof/heap/profiling?activate=true first')
    const session = await this.#heap
    const { profile } = await session.post('HeapProfiler.getSamplingProfile')
    return JSON.stringify(profile)
  }

  async #cpu(seconds: number, samplesPerSecond: number, signal: AbortSignal): Promise<string> {
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
    }
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

async function sampling(): Promise<Session> {
  const session = await connect()
  await session.post('HeapProfiler.startSampling')
  return session
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
