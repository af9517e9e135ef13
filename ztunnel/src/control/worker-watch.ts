import { Repetition, type Clock } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import type { DataWorker } from './worker-process.ts'

export interface WorkerWatchOptions {
  readonly workers: () => Iterable<DataWorker>
  readonly clock: Clock
  readonly log: Log
}

/** As often as each worker is asked for a report, so that there is always something to answer. */
const INTERVAL_MS = 5_000
/** In a row; a worker that starts, or takes over a large mesh, gives signs of life all the time. */
const LOOKS_WITHOUT_LIFE = 6
const BYTES_IN_VAIN = 128 * 1024 * 1024

/**
 * Kills workers that stand still, so that they are replaced: one that gives no sign of life for half a minute, and sooner one for
 * which much has come meanwhile, for all of it waits in this process. Time that this process itself stands still does not count.
 */
export class WorkerWatch {
  readonly #options: WorkerWatchOptions
  readonly #looks: Repetition

  constructor(options: WorkerWatchOptions) {
    this.#options = options
    this.#looks = new Repetition(options.clock, INTERVAL_MS, () => {
      this.#look()
      return Promise.resolve()
    })
  }

  stop(): void {
    this.#looks.stop()
  }

  #look(): void {
    for (const worker of this.#options.workers()) {
      const { pulse } = worker
      const looks = pulse?.look() ?? 0
      if (!pulse || (looks < LOOKS_WITHOUT_LIFE && pulse.bytesInVain <= BYTES_IN_VAIN)) continue
      const waiting = pulse.bytesInVain > BYTES_IN_VAIN ? ` and ${pulse.bytesInVain >> 20} MiB wait for it` : ''
      this.#options.log.error(
        `data worker ${worker.pid} has given no sign of life for ${(looks * INTERVAL_MS) / 1_000} s${waiting}: it is killed`,
      )
      worker.kill('SIGKILL')
    }
  }
}
