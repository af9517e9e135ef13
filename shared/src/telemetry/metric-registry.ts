import type { Clock } from '../clock/index.ts'
import { ClaimBudget } from './claim-budget.ts'
import type { Claim } from './claim.ts'
import type { Log } from '../log/index.ts'
import type { MetricFamily } from './metric-family.ts'
import { SeriesFamily } from './series-family.ts'
import type { Counter, Gauge, Series } from './series.ts'

/**
 * What one process counted since it was asked last, as plain data for another process: increments of counters, values of
 * gauges, by metric name and label text, with the claim where a peer says so.
 */
export type MetricsDelta = readonly {
  readonly name: string
  readonly series: readonly (readonly [labels: string, value: number, claim?: Claim])[]
}[]

/** The bounds of a MetricRegistry. */
export interface MetricRegistryOptions {
  readonly log: Log
  readonly clock: Clock
  /**
   * Series of one family, and as many again that come from claims, so that these never take the room of others; further
   * label sets are counted together in one series with every label `other`. Shared among sources: see SeriesFamily. Default 5000.
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
  readonly #families = new Map<string, SeriesFamily>()
  readonly #collectors = new Set<() => void>()
  readonly #clock: Clock
  readonly #openEnds: (() => Iterable<string>)[] = []
  #generation = 0

  constructor(options: MetricRegistryOptions) {
    const { log, maxSeriesPerFamily = 5000, maxClaimsPerPeer = 50, maxClaimedCharacters = 8 * 1024 * 1024 } = options
    this.#log = log
    this.#clock = options.clock
    this.#maxSeries = maxSeriesPerFamily
    this.#claims = new ClaimBudget({ log, maxEndsPerPeer: maxClaimsPerPeer, maxCharacters: maxClaimedCharacters })
  }

  /**
   * With a `claim` it may be another series: that of `claim.instead`. A counter of traffic that has a source may be kept until the
   * generation changes, or as long as `keepOpen` tells of it: it may be forgotten then, and what it counts be lost.
   */
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

  /** Changes when series have been forgotten: counters that are kept should be asked for again, for there is room. */
  get generation(): number {
    return this.#generation
  }

  /** `list` tells the label texts, with the flag of no failure, of ends between which connections are open. */
  keepOpen(list: () => Iterable<string>): void {
    this.#openEnds.push(list)
  }

  /** What changed since the last call. The caller must deliver it: it is told once. */
  takeDelta(): MetricsDelta {
    this.#collect()
    const nowMs = this.#clock.monotonicMs()
    const delta: MetricsDelta[number][] = []
    for (const family of this.#families.values()) {
      const { definition } = family
      const changed: (readonly [string, number, Claim?])[] = []
      for (const one of family.values()) {
        if (!one.isChanged) continue
        one.movedAtMs = nowMs
        const value = definition.type === 'counter' ? one.takeIncrement() : one.takeValue()
        changed.push(one.claim ? [one.labels, value, one.claim] : [one.labels, value])
      }
      if (changed.length > 0) delta.push({ name: definition.name, series: changed })
    }
    this.#tidy()
    return delta
  }

  /** Adds the delta of the process `source`. `families` are those that may be named in it; anything else is ignored. */
  merge(delta: MetricsDelta, source: string, families: Iterable<MetricFamily>): void {
    const nowMs = this.#clock.monotonicMs()
    const known = new Map(Array.from(families, (family) => [family.name, family]))
    for (const { name, series } of delta) {
      const family = known.get(name)
      if (!family) continue
      for (const [labels, value, claim] of series) {
        if (!Number.isFinite(value) || value < 0 || !isLabelText(labels)) continue
        if (claim && !isLabelText(claim.instead)) continue
        const one = this.#series(family, labels, claim)
        one.movedAtMs = nowMs
        if (family.type === 'counter') one.add(value)
        else one.setOf(source, value)
      }
    }
    this.#tidy()
  }

  /** The process `source` ended: what it counted stays, what it had open is gone. */
  removeSource(source: string): void {
    for (const family of this.#families.values()) {
      if (family.definition.type !== 'gauge') continue
      for (const one of family.values()) if (one.removeSource(source)) family.delete(one)
    }
  }

  /** All series as OpenMetrics text, families in the order given; those without samples are left out. */
  render(families: Iterable<MetricFamily>): string {
    this.#collect()
    let text = ''
    for (const { name, type, help } of families) {
      const family = this.#families.get(name)
      if (!family || family.size === 0) continue
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
      const sample = type === 'counter' ? `${name}_total` : name
      for (const { labels, total } of family.values())
        text += `${sample}${labels === '' ? '' : `{${labels}}`} ${total}\n`
    }
    return `${text}# EOF\n`
  }

  #collect(): void {
    for (const collect of this.#collectors) collect()
  }

  /** Makes room where there is none left. */
  #tidy(): void {
    const nowMs = this.#clock.monotonicMs()
    let open: ReadonlySet<string> | undefined
    const openOnce = (): ReadonlySet<string> => (open ??= new Set(this.#openEnds.flatMap((list) => [...list()])))
    for (const family of this.#families.values()) if (family.tidy(nowMs, openOnce)) this.#generation++
  }

  #series(definition: MetricFamily, labels: string, claim?: Claim): Series {
    let family = this.#families.get(definition.name)
    if (!family) {
      family = new SeriesFamily({ definition, maxSeries: this.#maxSeries, log: this.#log })
      this.#families.set(definition.name, family)
    }
    const found = family.get(labels)
    if (found) return found
    if (claim && claim.instead !== labels && !this.#claims.admits(claim))
      return this.#series(definition, claim.instead, { ...claim, ends: claim.instead })
    return family.add(labels, this.#clock.monotonicMs(), claim)
  }
}

function isLabelText(text: string): boolean {
  return text.length <= MAX_LABEL_TEXT && !text.includes('\n')
}
