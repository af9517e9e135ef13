import type { Clock } from '../clock/index.ts'
import { NOWHERE, PlacedSet, type Placed } from '../collections/index.ts'
import { AccessLog, type EndsText } from './access-log.ts'
import { ConnectionEndsCache, type ConnectionEnds } from './connection-ends.ts'
import type { ByteCounters, ConnectionInfo, ConnectionRecorder, OpenConnection, Outcome } from './connection-info.ts'
import type { ScopedLog } from './create-log.ts'
import { label } from './label-text.ts'
import { METRICS } from './metric-family.ts'
import type { MetricRegistry } from './metric-registry.ts'
import { nameLabels } from './traffic-labels.ts'

/** Where connections are recorded. */
export interface ConnectionRecorderOptions {
  readonly registry: MetricRegistry
  readonly log: ScopedLog
  readonly clock: Clock
  /** Of workloads whose record names none. Default cluster.local, as Istio. */
  readonly trustDomain?: string
}

/**
 * Counts into `registry` and writes the access log. Bytes of open connections are read whenever metrics are collected, so
 * that a connection of days counts while it flows.
 */
export function createConnectionRecorder(options: ConnectionRecorderOptions): ConnectionRecorder {
  const { registry, log, clock, trustDomain = 'cluster.local' } = options
  const access = new AccessLog(log, trustDomain)
  const cache = new ConnectionEndsCache(registry, access, trustDomain)
  /** Bounded by the process's sockets and the streams allowed on each tunnel. */
  const open = new PlacedSet<Recorded>()
  const sockets = {
    source: registry.gauge(METRICS.socketsOpen, label('reporter', 'source')),
    destination: registry.gauge(METRICS.socketsOpen, label('reporter', 'destination')),
  }
  registry.onCollect(() => {
    for (const connection of open.list()) connection.count()
  })
  registry.keepOpen(() => open.list().map(({ ends }) => ends))
  return {
    opened(info) {
      const connection = new Recorded({ info, cache, access, clock, open })
      open.add(connection)
      return connection
    },
    denied: (denial) => access.denied(denial),
    socketOpened: (reporter) => sockets[reporter].add(1),
    socketClosed: (reporter) => sockets[reporter].add(-1),
    nameUsed: (source, identity, hostname) =>
      registry.counter(METRICS.onDemandDns, nameLabels(source, identity, hostname)).add(1),
    revoked: (reporter) => registry.counter(METRICS.crlRejections, label('reporter', reporter)).add(1),
  }
}

interface RecordedOptions {
  readonly info: ConnectionInfo
  readonly cache: ConnectionEndsCache
  readonly access: AccessLog
  readonly clock: Clock
  readonly open: PlacedSet<Recorded>
}

class Recorded implements OpenConnection, Placed {
  place = NOWHERE
  readonly #options: RecordedOptions
  readonly #openedAtMs: number
  #ends: ConnectionEnds
  #info: ConnectionInfo
  #text: EndsText
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
    this.#ends = options.cache.get(options.info)
    this.#text = this.#ends.text
    this.#openedAtMs = options.clock.monotonicMs()
    this.#ends.series.opened.add(1)
    options.access.opened(options.info, this.#text)
  }

  /** Between which ends it is: the label text that they have in common. */
  get ends(): string {
    return this.#ends.series.text
  }

  attach(counters: ByteCounters): void {
    this.count()
    this.#counters = counters
    this.#seenAtoB = 0
    this.#seenBtoA = 0
  }

  redirect(info: ConnectionInfo): void {
    this.count()
    this.#ends.series.closed('-')
    this.#info = info
    this.#ends = this.#options.cache.get(info)
    this.#text = this.#ends.text
    this.#ends.series.opened.add(1)
  }

  finish(outcome: Outcome): void {
    const { access, clock, open } = this.#options
    if (!open.delete(this)) return
    this.count()
    this.#counters = undefined
    this.#ends.series.closed(outcome === 'success' ? '-' : outcome.flag)
    access.completed(this.#info, this.#text, {
      bytesAtoB: this.#bytesAtoB,
      bytesBtoA: this.#bytesBtoA,
      durationMs: clock.monotonicMs() - this.#openedAtMs,
      outcome,
    })
  }

  /** Moves what flowed since the last time into the metrics. */
  count(): void {
    if (!this.#counters) return
    const { bytesAtoB, bytesBtoA } = this.#counters
    const { received, sent } = this.#ends.series
    // Istio: received is the direction of the request, sent that of the response, on both sides.
    received.add(bytesAtoB - this.#seenAtoB)
    sent.add(bytesBtoA - this.#seenBtoA)
    this.#bytesAtoB += bytesAtoB - this.#seenAtoB
    this.#bytesBtoA += bytesBtoA - this.#seenBtoA
    this.#seenAtoB = bytesAtoB
    this.#seenBtoA = bytesBtoA
  }
}
