import { ClaimBudget } from './claim-budget.ts'
import type { Claim } from './claim.ts'
import { label } from './label-text.ts'
import type { Log } from '../log/index.ts'
import type { MetricFamily } from './metric-family.ts'
import { Series, type Counter, type Gauge } from './series.ts'

/**
 * What one process counted since it was asked last, as plain data for another process: increments of counters, values of
 * gauges, by metric name and label text, with the claim where a peer says so.
 */
export type MetricsDelta = readonly {
  readonly name: string
  readonly series: readonly (readonly [labels: string, value: number, claim?: Claim])[]
}[]

export interface MetricRegistryOptions {
  readonly log: Log
  /**
   * Series of one family, and as many again that come from claims, so that these never take the room of others; further
   * label sets are counted together in one series with every label `other`. Default 5000.
   */
  readonly maxSeriesPerFamily?: number
  /** Pairs of ends for which a peer may claim labels; see ClaimBudget. Default 50. */
  readonly maxClaimsPerPeer?: number
  /** Label text of all claims together. Default 8 Mi. */
  readonly maxClaimedCharacters?: number
}

/** Label text of one series from another process; longer is not ours: 27 labels, each cut at 512 characters, all escaped. */
const MAX_LABEL_TEXT = 32_768

/**
 * The metrics of a process. A worker process counts and hands over `takeDelta()`; the control process merges the deltas
 * of its workers with what it counts itself and renders all. Counters of a worker that died stay; its gauges go.
 */
export class MetricRegistry {
  readonly #log: Log
  readonly #maxSeries: number
  readonly #claims: ClaimBudget
  readonly #families = new Map<string, Family>()
  readonly #collectors = new Set<() => void>()

  constructor(options: MetricRegistryOptions) {
    const { log, maxSeriesPerFamily = 5000, maxClaimsPerPeer = 50, maxClaimedCharacters = 8 * 1024 * 1024 } = options
    this.#log = log
    this.#maxSeries = maxSeriesPerFamily
    this.#claims = new ClaimBudget({ log, maxEndsPerPeer: maxClaimsPerPeer, maxCharacters: maxClaimedCharacters })
  }

  /** With a `claim` it may be another series: that of `claim.instead`. */
  counter(family: MetricFamily & { readonly type: 'counter' }, labels = '', claim?: Claim): Counter {
    return this.#series(family, labels, claim).owned()
  }

  gauge(family: MetricFamily & { readonly type: 'gauge' }, labels = ''): Gauge {
    return this.#series(family, labels).owned()
  }

  /** `collect` brings its counters up to date before each delta and rendering. Returns how to stop it. */
  onCollect(collect: () => void): () => void {
    this.#collectors.add(collect)
    return () => void this.#collectors.delete(collect)
  }

  /** What changed since the last call. The caller must deliver it: it is told once. */
  takeDelta(): MetricsDelta {
    this.#collect()
    const delta: MetricsDelta[number][] = []
    for (const { definition, series } of this.#families.values()) {
      const changed: (readonly [string, number, Claim?])[] = []
      for (const one of series.values()) {
        if (!one.isChanged) continue
        const value = definition.type === 'counter' ? one.takeIncrement() : one.takeValue()
        changed.push(one.claim ? [one.labels, value, one.claim] : [one.labels, value])
      }
      if (changed.length > 0) delta.push({ name: definition.name, series: changed })
    }
    return delta
  }

  /** Adds the delta of the process `source`. `families` are those that may be named in it; anything else is ignored. */
  merge(delta: MetricsDelta, source: string, families: Iterable<MetricFamily>): void {
    const known = new Map(Array.from(families, (family) => [family.name, family]))
    for (const { name, series } of delta) {
      const family = known.get(name)
      if (!family) continue
      for (const [labels, value, claim] of series) {
        if (!Number.isFinite(value) || value < 0 || !isLabelText(labels)) continue
        if (claim && !isLabelText(claim.instead)) continue
        const one = this.#series(family, labels, claim)
        if (family.type === 'counter') one.add(value)
        else one.setOf(source, value)
      }
    }
  }

  /** The process `source` ended: what it counted stays, what it had open is gone. */
  removeSource(source: string): void {
    for (const { definition, series } of this.#families.values()) {
      if (definition.type !== 'gauge') continue
      for (const one of series.values()) if (one.removeSource(source)) series.delete(one.labels)
    }
  }

  /** All series as OpenMetrics text, families in the order given; those without samples are left out. */
  render(families: Iterable<MetricFamily>): string {
    this.#collect()
    let text = ''
    for (const { name, type, help } of families) {
      const series = this.#families.get(name)?.series
      if (!series || series.size === 0) continue
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
      const sample = type === 'counter' ? `${name}_total` : name
      for (const { labels, total } of series.values())
        text += `${sample}${labels === '' ? '' : `{${labels}}`} ${total}\n`
    }
    return `${text}# EOF\n`
  }

  #collect(): void {
    for (const collect of this.#collectors) collect()
  }

  #series(definition: MetricFamily, labels: string, claim?: Claim): Series {
    let family = this.#families.get(definition.name)
    if (!family) {
      family = { definition, series: new Map(), claimed: 0, isFull: false }
      this.#families.set(definition.name, family)
    }
    const found = family.series.get(labels)
    if (found) return found
    if (claim && claim.instead !== labels && !this.#claims.admits(claim))
      return this.#series(definition, claim.instead, { ...claim, ends: claim.instead })
    const used = claim ? family.claimed : family.series.size - family.claimed - (family.isFull ? 1 : 0)
    if (used >= this.#maxSeries) return this.#other(family)
    const series = new Series(labels, claim)
    family.series.set(labels, series)
    if (claim) family.claimed++
    return series
  }

  /** Where a family counts what it has no room for; one series more than its limit. */
  #other(family: Family): Series {
    const { definition } = family
    if (!family.isFull) {
      family.isFull = true
      this.#log.warn('too many series of a metric: further ones are counted together under the label "other"', {
        metric: definition.name,
        limit: this.#maxSeries,
      })
    }
    const labels = definition.labels.map((name) => label(name, 'other')).join(',')
    const series = family.series.get(labels) ?? new Series(labels)
    family.series.set(labels, series)
    return series
  }
}

function isLabelText(text: string): boolean {
  return text.length <= MAX_LABEL_TEXT && !text.includes('\n')
}

interface Family {
  readonly definition: MetricFamily
  /** By label text; at most maxSeriesPerFamily of claims, as many others, and one. */
  readonly series: Map<string, Series>
  /** Those of `series` that come from claims. */
  claimed: number
  /** It has the series of all that there was no room for. */
  isFull: boolean
}
