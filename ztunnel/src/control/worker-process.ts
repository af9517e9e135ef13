import { fork, type ChildProcess, type SendHandle } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { COMPILE_CACHE } from '../compile-cache.ts'
import type { FromWorker, ToWorker } from '../messages.ts'

const WORKER_MAIN = fileURLToPath(new URL('../worker/main.ts', import.meta.url))

export interface WorkerProcessEvents {
  onMessage(worker: WorkerProcess, message: FromWorker): void
  /** Once, when the process is gone, however it ended. */
  onExit(worker: WorkerProcess, how: string): void
}

/** One data worker process and the typed channel to it. Messages arrive in the order of sending. */
export class WorkerProcess {
  readonly #child: ChildProcess
  #gone = false

  constructor(events: WorkerProcessEvents, environment: NodeJS.ProcessEnv) {
    // Output goes straight to our own: lines are written in one piece each, so processes do not interleave.
    this.#child = fork(WORKER_MAIN, [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...environment, NODE_COMPILE_CACHE: COMPILE_CACHE },
      execArgv: [...process.execArgv, '--disable-warning=DEP0111'],
    })
    this.#child.on('message', (message) => {
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

  /** Sends a message; to a process that is gone it is dropped, for its successor gets the whole state anew. */
  send(message: ToWorker, handle?: SendHandle): void {
    if (this.#gone || !this.#child.connected) return
    this.#child.send(message, handle, { keepOpen: true }, () => {
      // A failed send means that the process is going away; `exit` follows.
    })
  }

  /** Lets a drained worker end: it goes when its channel does. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#gone) this.#child.kill(signal)
  }
}
