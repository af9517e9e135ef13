import type { AccessLog, EndsText } from './access-log.ts'
import type { Baggage, ConnectionInfo } from './connection-info.ts'
import type { MetricRegistry } from './metric-registry.ts'
import { TrafficSeries } from './traffic-series.ts'

/** All that connections between the same two ends share: counters, and what their log lines have in common. */
export interface ConnectionEnds {
  readonly series: TrafficSeries
  readonly text: EndsText
}

/** Remembered pairs of ends; all are forgotten when it is full (the counters themselves stay in the registry). */
const MAX_REMEMBERED = 10_000
/** The same for ends that a peer describes itself, new with each connection if it likes; each takes up to 10 KB. */
const MAX_CLAIMS_REMEMBERED = 500
/** Longer ones are made anew each time. */
const MAX_CLAIM_KEY_CHARACTERS = 1_024

/**
 * Finds what connections between two ends share. Label and log text (40 values) is made once for each pair: mesh records
 * are known by their object, so that opening a connection costs one short key instead of 1,000 characters.
 */
export class ConnectionEndsCache {
  readonly #registry: MetricRegistry
  readonly #access: AccessLog
  readonly #trustDomain: string
  readonly #ids = new WeakMap<object, number>()
  readonly #remembered = new Map<string, ConnectionEnds>()
  readonly #claims = new Map<string, ConnectionEnds>()
  #lastId = 0
  #generation = 0

  constructor(registry: MetricRegistry, access: AccessLog, trustDomain: string) {
    this.#trustDomain = trustDomain
    this.#registry = registry
    this.#access = access
  }

  get(info: ConnectionInfo): ConnectionEnds {
    if (this.#generation !== this.#registry.generation) this.#forgetAll()
    const { direction, mutualTls, src, dst } = info
    const key = `${direction}${mutualTls ? '+' : '-'}${this.#id(src.workload)},${this.#id(dst.workload)},${this.#id(dst.service)},${src.identity?.toString() ?? ''}`
    if (src.baggage) return this.#getClaimed(`${key}${claimKey(src.baggage)}`, info)
    const known = this.#remembered.get(key)
    if (known) return known
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear()
    const made = this.#make(info)
    this.#remembered.set(key, made)
    return made
  }

  /** Counters that are remembered may be of no use any more. */
  #forgetAll(): void {
    this.#generation = this.#registry.generation
    this.#remembered.clear()
    this.#claims.clear()
  }

  #getClaimed(key: string, info: ConnectionInfo): ConnectionEnds {
    if (key.length > MAX_CLAIM_KEY_CHARACTERS) return this.#make(info)
    const known = this.#claims.get(key)
    if (known) return known
    if (this.#claims.size >= MAX_CLAIMS_REMEMBERED) this.#claims.clear()
    const made = this.#make(info)
    this.#claims.set(key, made)
    return made
  }

  #make(info: ConnectionInfo): ConnectionEnds {
    return { series: new TrafficSeries(this.#registry, info, this.#trustDomain), text: this.#access.ends(info) }
  }

  #id(record: object | undefined): number {
    if (!record) return 0
    const known = this.#ids.get(record)
    if (known !== undefined) return known
    this.#ids.set(record, ++this.#lastId)
    return this.#lastId
  }
}

/** All that is claimed, unambiguously: a header's value has no line ends. */
function claimKey(baggage: Baggage): string {
  const { clusterId, namespace, workloadName, serviceName, serviceVersion, region, zone } = baggage
  return `\n${clusterId ?? ''}\n${namespace ?? ''}\n${workloadName ?? ''}\n${serviceName ?? ''}\n${serviceVersion ?? ''}\n${region ?? ''}\n${zone ?? ''}`
}
