import { label } from './label-text.ts'
import type { Log } from './log.ts'
import type { MetricFamily } from './metric-family.ts'

/** Counts upwards. Keep the handle: adding is then one addition. */
export interface Counter {
  add(amount: number): void
}

/** A value that goes up and down. */
export interface Gauge {
  set(value: number): void
  add(amount: number): void
}

/**
 * What one process counted since it was asked last, as plain data for another process: increments of counters, values of
 * gauges, by metric name and label text.
 */
export type MetricsDelta = readonly {
  readonly name: string
  readonly series: readonly (readonly [labels: string, value: number])[]
}[]

export interface MetricRegistryOptions {
  readonly log: Log
  /** Series of one family; further label sets are counted together in one series with every label `other`. Default 5000. */
  readonly maxSeriesPerFamily?: number
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
  readonly #families = new Map<string, Family>()
  readonly #collectors = new Set<() => void>()

  constructor({ log, maxSeriesPerFamily = 5000 }: MetricRegistryOptions) {
    this.#log = log
    this.#maxSeries = maxSeriesPerFamily
  }

  counter(family: MetricFamily & { readonly type: 'counter' }, labels = ''): Counter {
    return this.#series(family, labels).owned()
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
      const changed: [string, number][] = []
      for (const one of series.values()) {
        if (!one.isChanged) continue
        changed.push([one.labels, definition.type === 'counter' ? one.takeIncrement() : one.takeValue()])
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
      for (const [labels, value] of series) {
        if (!Number.isFinite(value) || value < 0 || labels.length > MAX_LABEL_TEXT || labels.includes('\n')) continue
        const one = this.#series(family, labels)
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

  #series(definition: MetricFamily, labels: string): Series {
    let family = this.#families.get(definition.name)
    if (!family) {
      family = { definition, series: new Map(), isFull: false }
      this.#families.set(definition.name, family)
    }
    const found = family.series.get(labels)
    if (found) return found
    const isFull = family.series.size >= this.#maxSeries
    const own = isFull ? definition.labels.map((name) => label(name, 'other')).join(',') : labels
    if (isFull && !family.isFull) {
      family.isFull = true
      this.#log.warn('too many series of a metric: further ones are counted together under the label "other"', {
        metric: definition.name,
        limit: this.#maxSeries,
      })
    }
    const series = family.series.get(own) ?? new Series(own)
    family.series.set(own, series)
    return series
  }
}

interface Family {
  readonly definition: MetricFamily
  /** By label text; at most maxSeriesPerFamily + 1. */
  readonly series: Map<string, Series>
  isFull: boolean
}

class Series implements Counter, Gauge {
  readonly labels: string
  #own = 0
  #told = 0
  #isNew = true
  /** Someone in this process holds it, so it stays whatever other processes do. */
  #isOwned = false
  /** Values of other processes, gauges only; one for each worker process. */
  #sources: Map<string, number> | undefined

  constructor(labels: string) {
    this.labels = labels
  }

  add(amount: number): void {
    this.#own += amount
  }

  set(value: number): void {
    this.#own = value
  }

  setOf(source: string, value: number): void {
    this.#sources ??= new Map()
    this.#sources.set(source, value)
  }

  owned(): this {
    this.#isOwned = true
    return this
  }

  /** True when the series was told by that process alone, so that nothing is left of it. */
  removeSource(source: string): boolean {
    return this.#sources?.delete(source) === true && this.#sources.size === 0 && !this.#isOwned
  }

  get total(): number {
    let total = this.#own
    if (this.#sources) for (const value of this.#sources.values()) total += value
    return total
  }

  get isChanged(): boolean {
    return this.#isNew || this.#own !== this.#told
  }

  takeIncrement(): number {
    const increment = this.#own - this.#told
    this.takeValue()
    return increment
  }

  takeValue(): number {
    this.#isNew = false
    this.#told = this.#own
    return this.#own
  }
}
