import type { Clock, Timer } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import { nameOf } from '../pod.ts'
import type { CapturedPod } from './pod-capture.ts'
import type { PodListener } from './pod-listeners.ts'
import type { DataWorker } from './worker-process.ts'

/** Between two attempts; doubles with each. */
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 30_000

interface HandOver {
  readonly captured: CapturedPod
  readonly listener: PodListener
}

/** What one worker has not confirmed. */
interface Owed {
  /** By the number that it confirms them with. */
  readonly listeners: Map<number, HandOver>
  pauseMs: number
  timer: Timer | undefined
  isLate: boolean
}

/**
 * Gives the workers the listening sockets of the pods, and gives a socket again until the worker says that it accepts on it: one
 * without a free descriptor gets the message and no socket. This process keeps its own references. Remembers what is not
 * confirmed, at most the listeners of the pods for each worker.
 *
 * The redirection does not wait for it. A worker that starts with a large mesh takes seconds, and the pod would be in the clear
 * meanwhile; and where a predecessor has redirected the pod already, connections wait at the new listeners anyway.
 */
export class HandOvers {
  readonly #clock: Clock
  readonly #log: Log
  readonly #owed = new Map<DataWorker, Owed>()
  #nextId = 1

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  give(worker: DataWorker, captured: CapturedPod): void {
    const owed = this.#owed.get(worker) ?? newOwed()
    this.#owed.set(worker, owed)
    for (const listener of captured.listeners) {
      const id = this.#nextId++
      owed.listeners.set(id, { captured, listener })
      send(worker, id, { captured, listener })
    }
    this.#wait(worker, owed)
  }

  /** The worker accepts on the socket that came with this number. */
  confirmed(worker: DataWorker, id: number): void {
    const owed = this.#owed.get(worker)
    if (!owed) return
    owed.listeners.delete(id)
    this.#settle(worker, owed)
  }

  /** To be told before the pod's listeners could be handed over again: they are closed. */
  removed(uid: string): void {
    for (const [worker, owed] of this.#owed) {
      for (const [id, { captured }] of owed.listeners) if (captured.pod.uid === uid) owed.listeners.delete(id)
      this.#settle(worker, owed)
    }
  }

  gone(worker: DataWorker): void {
    this.#owed.get(worker)?.timer?.cancel()
    this.#owed.delete(worker)
  }

  stop(): void {
    for (const worker of this.#owed.keys()) this.gone(worker)
  }

  #settle(worker: DataWorker, { listeners }: Owed): void {
    if (listeners.size === 0) this.gone(worker)
  }

  #wait(worker: DataWorker, owed: Owed): void {
    owed.timer ??= this.#clock.after(owed.pauseMs, () => {
      owed.timer = undefined
      owed.pauseMs = Math.min(2 * owed.pauseMs, LONGEST_PAUSE_MS)
      this.#again(worker, owed)
    })
  }

  #again(worker: DataWorker, owed: Owed): void {
    for (const [id, handOver] of owed.listeners) send(worker, id, handOver)
    this.#wait(worker, owed)
    // One that has just been started may well take longer than a second.
    if (!owed.isLate) {
      owed.isLate = true
      return
    }
    const pods = [...new Set([...owed.listeners.values()].map(({ captured }) => nameOf(captured.pod)))]
    this.#log.warn(`data worker ${worker.pid} has not taken the listeners of all pods: it gets them again`, {
      pods: pods.slice(0, 10).join(' '),
    })
  }
}

function newOwed(): Owed {
  return { listeners: new Map(), pauseMs: FIRST_PAUSE_MS, timer: undefined, isLate: false }
}

function send(worker: DataWorker, id: number, { captured, listener }: HandOver): void {
  const { uid, name, namespace, serviceAccount } = captured.pod
  const { role, transparent, handle } = listener
  worker.send({ type: 'listener', id, pod: { uid, name, namespace, serviceAccount }, role, transparent }, handle)
}
