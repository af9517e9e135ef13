import type { ConnectionInfo, ResponseFlag } from './connection-info.ts'
import type { Claim } from './claim.ts'
import { METRICS } from './metric-family.ts'
import type { MetricRegistry } from './metric-registry.ts'
import type { Counter } from './series.ts'
import { trafficLabels, withFlag, withoutClaims, type TrafficLabels } from './traffic-labels.ts'

/** The counters of connections that share their labels. */
export class TrafficSeries {
  /** Label text with the flag of no failure. */
  readonly text: string
  readonly opened: Counter
  readonly received: Counter
  readonly sent: Counter
  readonly #registry: MetricRegistry
  readonly #labels: TrafficLabels
  readonly #claimed: { readonly by: string; readonly ends: string; readonly instead: TrafficLabels } | undefined
  /** By flag: at most the 8 flags there are. */
  readonly #closed = new Map<ResponseFlag, { readonly closed: Counter; readonly failed: Counter | undefined }>()

  constructor(registry: MetricRegistry, info: ConnectionInfo, trustDomain: string) {
    this.#registry = registry
    this.#labels = trafficLabels(info, trustDomain)
    const text = withFlag(this.#labels, '-')
    this.text = text
    const unclaimed = withoutClaims(info)
    if (unclaimed) {
      const instead = trafficLabels(unclaimed, trustDomain)
      this.#claimed = { by: info.src.identity?.toString() ?? '', ends: text, instead }
    }
    const claim = this.#claim('-')
    this.opened = registry.counter(METRICS.opened, text, claim)
    this.received = registry.counter(METRICS.received, text, claim)
    this.sent = registry.counter(METRICS.sent, text, claim)
  }

  /** Istio: only closed and failed carry the flag of a failure. */
  closed(flag: ResponseFlag): void {
    let counters = this.#closed.get(flag)
    if (!counters) {
      const text = withFlag(this.#labels, flag)
      const claim = this.#claim(flag)
      const failed = flag === '-' ? undefined : this.#registry.counter(METRICS.failed, text, claim)
      counters = { closed: this.#registry.counter(METRICS.closed, text, claim), failed }
      this.#closed.set(flag, counters)
    }
    counters.closed.add(1)
    counters.failed?.add(1)
  }

  #claim(flag: ResponseFlag): Claim | undefined {
    if (!this.#claimed) return undefined
    const { by, ends, instead } = this.#claimed
    return { by, ends, instead: withFlag(instead, flag) }
  }
}
