import type { ConnectionInfo, ResponseFlag } from './connection-info.ts'
import { METRICS } from './metric-family.ts'
import type { Counter, MetricRegistry } from './metric-registry.ts'
import { trafficLabels, withFlag, type TrafficLabels } from './traffic-labels.ts'

/** Remembered pairs of ends; all are forgotten when it is full (the counters themselves stay in the registry). */
const MAX_REMEMBERED = 10_000

/** The counters of connections that share their labels. */
export class TrafficSeries {
  readonly opened: Counter
  readonly received: Counter
  readonly sent: Counter
  readonly #registry: MetricRegistry
  readonly #labels: TrafficLabels
  /** By flag: at most the 8 flags there are. */
  readonly #closed = new Map<ResponseFlag, { readonly closed: Counter; readonly failed: Counter | undefined }>()

  constructor(registry: MetricRegistry, labels: TrafficLabels) {
    const text = withFlag(labels, '-')
    this.#registry = registry
    this.#labels = labels
    this.opened = registry.counter(METRICS.opened, text)
    this.received = registry.counter(METRICS.received, text)
    this.sent = registry.counter(METRICS.sent, text)
  }

  /** Istio: only closed and failed carry the flag of a failure. */
  closed(flag: ResponseFlag): void {
    let counters = this.#closed.get(flag)
    if (!counters) {
      const text = withFlag(this.#labels, flag)
      const failed = flag === '-' ? undefined : this.#registry.counter(METRICS.failed, text)
      counters = { closed: this.#registry.counter(METRICS.closed, text), failed }
      this.#closed.set(flag, counters)
    }
    counters.closed.add(1)
    counters.failed?.add(1)
  }
}

/**
 * Finds the counters of a connection. The label text (27 values) is made once for each pair of ends: mesh records are
 * known by their object, so that opening a connection costs one short key instead of 700 characters.
 */
export class TrafficSeriesCache {
  readonly #registry: MetricRegistry
  readonly #ids = new WeakMap<object, number>()
  readonly #remembered = new Map<string, TrafficSeries>()
  #lastId = 0

  constructor(registry: MetricRegistry) {
    this.#registry = registry
  }

  get(info: ConnectionInfo): TrafficSeries {
    const { src, dst } = info
    // Baggage is a new object for each connection: those series are found by their text.
    if ((src.baggage && !src.workload) || (dst.baggage && !dst.workload)) return this.#byText(info)
    const key = `${info.direction}${info.mutualTls ? '+' : '-'}${this.#id(src.workload)},${this.#id(dst.workload)},${this.#id(dst.service)},${src.identity?.toString() ?? ''},${dst.identity?.toString() ?? ''}`
    return this.#remembered.get(key) ?? this.#remember(key, new TrafficSeries(this.#registry, trafficLabels(info)))
  }

  #byText(info: ConnectionInfo): TrafficSeries {
    const labels = trafficLabels(info)
    const key = `${labels.head}${labels.tail}`
    return this.#remembered.get(key) ?? this.#remember(key, new TrafficSeries(this.#registry, labels))
  }

  #remember(key: string, series: TrafficSeries): TrafficSeries {
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear()
    this.#remembered.set(key, series)
    return series
  }

  #id(record: object | undefined): number {
    if (!record) return 0
    const known = this.#ids.get(record)
    if (known !== undefined) return known
    this.#ids.set(record, ++this.#lastId)
    return this.#lastId
  }
}
