import { Repetition, type Clock } from '@ambit/shared/clock'
import { METRICS, OpenTally, type MetricRegistry } from '@ambit/shared/telemetry'
import type { FromWorker, PodConnections } from '../messages.ts'
import type { WorkerPool } from './worker-pool.ts'
import type { DataWorker } from './worker-process.ts'

type Report = Extract<FromWorker, { type: 'report' }>

interface Round {
  readonly waitingFor: Set<DataWorker>
  readonly reports: Report[]
  done(): void
}

/** A worker that has not answered by then is left out: a scrape must not hang on a busy or dying worker. */
const ANSWER_TIMEOUT_MS = 1_000
/** Between scrapes the workers' counts are fetched this often, so that a worker's death loses little. */
const INTERVAL_MS = 5_000

/** Gathers what the workers count and have open; adds their counts to the node's metrics. */
export class WorkerReports {
  readonly #pool: WorkerPool
  readonly #metrics: MetricRegistry
  readonly #clock: Clock
  readonly #rounds = new Map<number, Round>()
  /** One for each worker that runs. */
  readonly #open = new Map<DataWorker, OpenTally>()
  readonly #refreshing: Repetition
  #nextId = 1

  constructor(pool: WorkerPool, metrics: MetricRegistry, clock: Clock) {
    this.#pool = pool
    this.#metrics = metrics
    this.#clock = clock
    metrics.keepOpen(() => [...this.#open.values()].flatMap((tally) => [...tally.openEnds()]))
    this.#refreshing = new Repetition(clock, INTERVAL_MS, () => this.refresh())
  }

  receive(worker: DataWorker, report: Report): void {
    // What was still in the channel when a worker died: its connections are counted as closed already.
    if (!this.#pool.workers.has(worker)) return
    this.#metrics.merge(report.metrics, String(worker.pid), Object.values(METRICS))
    const open = this.#open.get(worker) ?? new OpenTally()
    open.add(report.metrics)
    this.#open.set(worker, open)
    const round = this.#rounds.get(report.id)
    if (!round?.waitingFor.delete(worker)) return
    round.reports.push(report)
    if (round.waitingFor.size === 0) round.done()
  }

  /** A worker died: what it counted stays, and what it had open by its last report counts as closed, for so it is. */
  gone(worker: DataWorker): void {
    const pid = String(worker.pid)
    this.#metrics.removeSource(pid)
    this.#metrics.merge(this.#open.get(worker)?.cut() ?? [], pid, Object.values(METRICS))
    this.#open.delete(worker)
    for (const round of this.#rounds.values()) {
      if (round.waitingFor.delete(worker) && round.waitingFor.size === 0) round.done()
    }
  }

  /** Brings the metrics up to date. Resolves after at most a second. */
  async refresh(): Promise<void> {
    await this.#ask(false)
  }

  /** The open connections of every pod, over all workers. */
  async connections(): Promise<ReadonlyMap<string, PodConnections>> {
    const merged = new Map<string, PodConnections>()
    for (const { pods } of await this.#ask(true)) {
      for (const [uid, { inbound, outbound }] of Object.entries(pods)) {
        const known = merged.get(uid) ?? { inbound: [], outbound: [] }
        merged.set(uid, { inbound: [...known.inbound, ...inbound], outbound: [...known.outbound, ...outbound] })
      }
    }
    return merged
  }

  stop(): void {
    this.#refreshing.stop()
  }

  #ask(connections: boolean): Promise<readonly Report[]> {
    return new Promise((resolve) => {
      const id = this.#nextId++
      const done = (): void => {
        timer.cancel()
        this.#rounds.delete(id)
        resolve(round.reports)
      }
      const round: Round = { waitingFor: new Set(this.#pool.workers), reports: [], done }
      const timer = this.#clock.after(ANSWER_TIMEOUT_MS, done)
      this.#rounds.set(id, round)
      if (round.waitingFor.size === 0) done()
      else this.#pool.broadcast({ type: 'report', id, connections })
    })
  }
}
