import type { Clock, Timer } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import type { FromWorker, ToWorker } from '../messages.ts'
import type { DataWorker, DataWorkerEvents } from './worker-process.ts'

export interface WorkerPoolOptions {
  /** Worker processes kept running; at most 64 by configuration. */
  readonly count: number
  readonly spawn: (events: DataWorkerEvents) => DataWorker
  /** Sends a new worker everything that it needs, before any broadcast reaches it. */
  readonly welcome: (worker: DataWorker) => void
  readonly onMessage: (worker: DataWorker, message: FromWorker) => void
  readonly onGone: (worker: DataWorker) => void
  readonly clock: Clock
  readonly log: Log
}

/** Deaths that are answered by a new worker at once; more within the window wait, so that a crash loop stays cheap. */
const IMMEDIATE_RESTARTS = 5
const RESTART_WINDOW_MS = 10_000
const RESTART_DELAY_MS = 1_000

/** Keeps the data workers running. The listening sockets live in this process, so a worker's death loses none. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #workers = new Set<DataWorker>()
  readonly #restartTimers = new Set<Timer>()
  #deaths: number[] = []
  #stopping = false
  #allGone: (() => void) | undefined

  constructor(options: WorkerPoolOptions) {
    this.#options = options
  }

  get workers(): ReadonlySet<DataWorker> {
    return this.#workers
  }

  start(): void {
    for (let index = 0; index < this.#options.count; index++) this.#spawn()
  }

  broadcast(message: ToWorker): void {
    for (const worker of this.#workers) worker.send(message)
  }

  /**
   * No more restarts. Resolves when every worker is gone: by itself (after `drain`) or, after `killAfterMs`, by SIGKILL.
   */
  async stop(killAfterMs: number): Promise<void> {
    this.#stopping = true
    for (const timer of this.#restartTimers) timer.cancel()
    if (this.#workers.size === 0) return
    const killer = this.#options.clock.after(killAfterMs, () => {
      for (const worker of this.#workers) worker.kill('SIGKILL')
    })
    await new Promise<void>((resolve) => {
      this.#allGone = resolve
    })
    killer.cancel()
  }

  #spawn(): void {
    const worker = this.#options.spawn({
      onMessage: (from, message) => this.#options.onMessage(from, message),
      onExit: (gone, how) => this.#exited(gone, how),
    })
    this.#workers.add(worker)
    this.#options.welcome(worker)
  }

  #exited(worker: DataWorker, how: string): void {
    this.#workers.delete(worker)
    this.#options.onGone(worker)
    if (this.#stopping) {
      if (this.#workers.size === 0) this.#allGone?.()
      return
    }
    const delayMs = this.#restartDelayMs()
    this.#options.log.error(
      `data worker ${worker.pid} ${how}; a new one starts ${delayMs === 0 ? 'now' : `in ${delayMs} ms`}`,
    )
    if (delayMs === 0) return this.#spawn()
    const timer = this.#options.clock.after(delayMs, () => {
      this.#restartTimers.delete(timer)
      this.#spawn()
    })
    this.#restartTimers.add(timer)
  }

  #restartDelayMs(): number {
    const now = this.#options.clock.monotonicMs()
    this.#deaths = [...this.#deaths.filter((at) => now - at < RESTART_WINDOW_MS), now].slice(-64)
    return this.#deaths.length <= IMMEDIATE_RESTARTS ? 0 : RESTART_DELAY_MS
  }
}
