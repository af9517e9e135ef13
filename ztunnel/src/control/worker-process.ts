import { fork, type ChildProcess, type SendHandle } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ListenHandle } from '@ambit/shared/io'
import type { FromWorker, ToWorker } from '../messages.ts'
import { WorkerPulse } from './worker-pulse.ts'

const WORKER_MAIN = fileURLToPath(new URL('../worker/main.ts', import.meta.url))

/** A data worker as the control process sees it. Messages arrive in the order of sending. */
export interface DataWorker {
  readonly pid: number
  /** Of a process of its own. */
  readonly pulse?: WorkerPulse
  /** Sends a message; to a worker that is gone it is dropped, for its successor gets the whole state anew. */
  send(message: ToWorker, handle?: ListenHandle): void
  /** Lets a drained worker end. */
  end(): void
  kill(signal: NodeJS.Signals): void
}

export interface DataWorkerEvents {
  onMessage(worker: DataWorker, message: FromWorker): void
  /** Once, when the worker is gone, however it ended. */
  onExit(worker: DataWorker, how: string): void
}

/** A data worker in a process of its own, and the channel to it. */
export class WorkerProcess implements DataWorker {
  readonly pulse = new WorkerPulse()
  readonly #child: ChildProcess
  #gone = false

  constructor(events: DataWorkerEvents, environment: NodeJS.ProcessEnv) {
    // Output goes straight to our own: lines are written in one piece each, so processes do not interleave.
    this.#child = fork(WORKER_MAIN, [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: environment,
      execArgv: [...process.execArgv, '--disable-warning=DEP0111'],
    })
    this.#child.on('message', (message) => {
      this.pulse.spoke()
      // Only our own worker code writes on this channel.
      events.onMessage(this, message as FromWorker)
    })
    const gone = (how: string): void => {
      if (this.#gone) return
      this.#gone = true
      events.onExit(this, how)
    }
    this.#child.once('exit', (code, signal) => gone(signal ? `was killed by ${signal}` : `exited with code ${code}`))
    this.#child.once('error', (error) => gone(`did not start: ${error.message}`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  send(message: ToWorker, handle?: ListenHandle): void {
    if (this.#gone || !this.#child.connected) return
    // Node passes its own TCP handles, which ListenHandle is, as well as the types that SendHandle names.
    // A failed send means that the process is going away; `exit` follows.
    this.#child.send(message, handle as unknown as SendHandle, { keepOpen: true }, this.pulse.sending(message))
  }

  end(): void {
    // It goes when its channel does.
    if (this.#child.connected) this.#child.disconnect()
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#gone) this.#child.kill(signal)
  }
}
