import type { Clock } from '../clock/index.ts'
import { AccessLog } from './access-log.ts'
import type {
  ByteCounters,
  ConnectionInfo,
  ConnectionRecorder,
  DestinationInfo,
  OpenConnection,
  Outcome,
} from './connection-info.ts'
import type { ScopedLog } from './create-log.ts'
import { label } from './label-text.ts'
import { METRICS } from './metric-family.ts'
import type { MetricRegistry } from './metric-registry.ts'
import { TrafficSeriesCache, type TrafficSeries } from './traffic-series.ts'

export interface ConnectionRecorderOptions {
  readonly registry: MetricRegistry
  readonly log: ScopedLog
  readonly clock: Clock
}

/**
 * Counts into `registry` and writes the access log. Bytes of open connections are read whenever metrics are collected, so
 * that a connection of days counts while it flows.
 */
export function createConnectionRecorder({ registry, log, clock }: ConnectionRecorderOptions): ConnectionRecorder {
  const access = new AccessLog(log)
  const cache = new TrafficSeriesCache(registry)
  /** Bounded by the process's sockets and the streams allowed on each tunnel. */
  const open = new Set<Recorded>()
  const sockets = {
    source: registry.gauge(METRICS.socketsOpen, label('reporter', 'source')),
    destination: registry.gauge(METRICS.socketsOpen, label('reporter', 'destination')),
  }
  registry.onCollect(() => {
    for (const connection of open) connection.count()
  })
  return {
    opened(info) {
      const connection = new Recorded({ info, series: cache.get(info), access, clock, open })
      open.add(connection)
      return connection
    },
    denied: (denial) => access.denied(denial),
    socketOpened: (reporter) => sockets[reporter].add(1),
    socketClosed: (reporter) => sockets[reporter].add(-1),
  }
}

interface RecordedOptions {
  readonly info: ConnectionInfo
  readonly series: TrafficSeries
  readonly access: AccessLog
  readonly clock: Clock
  readonly open: Set<Recorded>
}

class Recorded implements OpenConnection {
  readonly #options: RecordedOptions
  readonly #openedAtMs: number
  #info: ConnectionInfo
  #counters: ByteCounters | undefined
  /** Of #counters, already in the metrics. */
  #seenAtoB = 0
  #seenBtoA = 0
  /** Of all counters so far, for the access line. */
  #bytesAtoB = 0
  #bytesBtoA = 0

  constructor(options: RecordedOptions) {
    this.#options = options
    this.#info = options.info
    this.#openedAtMs = options.clock.now()
    options.series.opened.add(1)
    options.access.opened(options.info)
  }

  attach(counters: ByteCounters): void {
    this.count()
    this.#counters = counters
    this.#seenAtoB = 0
    this.#seenBtoA = 0
  }

  redirect(dst: DestinationInfo): void {
    this.#info = { ...this.#info, dst }
  }

  finish(outcome: Outcome): void {
    const { series, access, clock, open } = this.#options
    if (!open.delete(this)) return
    this.count()
    this.#counters = undefined
    series.closed(outcome === 'success' ? '-' : outcome.flag)
    access.completed(this.#info, {
      bytesAtoB: this.#bytesAtoB,
      bytesBtoA: this.#bytesBtoA,
      durationMs: Math.max(0, Math.round(clock.now() - this.#openedAtMs)),
      outcome,
    })
  }

  /** Moves what flowed since the last time into the metrics. */
  count(): void {
    if (!this.#counters) return
    const { bytesAtoB, bytesBtoA } = this.#counters
    const { received, sent } = this.#options.series
    // Istio: received is the direction of the request, sent that of the response, on both sides.
    received.add(bytesAtoB - this.#seenAtoB)
    sent.add(bytesBtoA - this.#seenBtoA)
    this.#bytesAtoB += bytesAtoB - this.#seenAtoB
    this.#bytesBtoA += bytesBtoA - this.#seenBtoA
    this.#seenAtoB = bytesAtoB
    this.#seenBtoA = bytesBtoA
  }
}
