import { systemClock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { ByteIo } from '@ambit/shared/io'
import { duplicate } from '../linux/index.ts'
import type { FromWorker, ToWorker } from '../messages.ts'
import { Worker } from '../worker/worker.ts'
import type { DataWorker, DataWorkerEvents } from './worker-process.ts'

/**
 * The data worker inside of the control process, for profilers and debuggers that follow a single process. Its death is
 * that of the whole ztunnel.
 */
export class WorkerInProcess implements DataWorker {
  readonly pid = process.pid
  readonly #io: ByteIo
  readonly #events: DataWorkerEvents
  readonly #worker: Worker

  constructor(events: DataWorkerEvents, io: ByteIo) {
    this.#io = io
    this.#events = events
    this.#worker = new Worker({ send: (message) => this.#received(message), clock: systemClock, logFd: 1 })
  }

  send(message: ToWorker, handle?: { readonly fd: number }): void {
    // As over a channel: copied, later, and with a descriptor of its own.
    const copy = JSON.parse(JSON.stringify(message)) as ToWorker // The copy has the type of its original.
    const own = handle && this.#io.adopt(duplicate(handle.fd))
    setImmediate(() => this.#worker.receive(copy, own))
  }

  end(): void {
    this.#events.onExit(this, 'ended')
  }

  kill(): void {
    this.end()
  }

  #received(message: FromWorker): void {
    setImmediate(() => {
      try {
        this.#events.onMessage(this, message)
      } catch (error) {
        process.stderr.write(`ztunnel: ${messageOf(error)}\n`)
        process.exit(1)
      }
    })
  }
}
