import type { ConnectionInfo, ResponseFlag } from './connection-info.ts'
import { METRICS } from './metric-family.ts'
import type { Counter, MetricRegistry } from './metric-registry.ts'
import { trafficLabels, withFlag, type TrafficLabels } from './traffic-labels.ts'

/** The counters of connections that share their labels. */
export class TrafficSeries {
  readonly opened: Counter
  readonly received: Counter
  readonly sent: Counter
  readonly #registry: MetricRegistry
  readonly #labels: TrafficLabels
  /** By flag: at most the 8 flags there are. */
  readonly #closed = new Map<ResponseFlag, { readonly closed: Counter; readonly failed: Counter | undefined }>()

  constructor(registry: MetricRegistry, info: ConnectionInfo, trustDomain: string) {
    this.#registry = registry
    this.#labels = trafficLabels(info, trustDomain)
    const text = withFlag(this.#labels, '-')
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
