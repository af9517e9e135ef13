import type { Log } from '../log/index.ts'
import type { Claim } from './claim.ts'
import { label } from './label-text.ts'
import type { MetricFamily } from './metric-family.ts'
import { Series } from './series.ts'
import { flagged, sourceOf } from './traffic-labels.ts'

/** A series that is in nobody's way stays for ever; one that has not moved for so long makes room for others. */
const IDLE_MS = 3_600_000
/** How often room is looked for: takes a millisecond for a full metric. */
const TIDY_MS = 60_000

export interface SeriesFamilyOptions {
  readonly definition: MetricFamily
  /** Of claims, as many others, and one. */
  readonly maxSeries: number
  readonly log: Log
}

/**
 * The series of one metric. What there is no room for is counted in one series more, with every label `other`. No source takes
 * the room of the others: each may have as many series as are still free, so one alone has half of them, two have a third
 * each, and who comes later has half of the rest at least.
 */
export class SeriesFamily {
  readonly definition: MetricFamily
  readonly #options: SeriesFamilyOptions
  /** By label text. */
  readonly #series = new Map<string, Series>()
  /** How many there are of each source, claims left out; none that is 0. */
  readonly #ofSource = new Map<string, number>()
  /** Those that come from claims. */
  #claimed = 0
  readonly #otherLabels: string
  /** All that there was no room for, here or in a process that told so. */
  #other: Series | undefined
  #tidyAtMs = 0

  constructor(options: SeriesFamilyOptions) {
    this.#options = options
    this.definition = options.definition
    this.#otherLabels = otherLabels(options.definition)
  }

  get size(): number {
    return this.#series.size
  }

  get(labels: string): Series | undefined {
    return this.#series.get(labels)
  }

  values(): Iterable<Series> {
    return this.#series.values()
  }

  /** A new series, which must not be there; that of `other` where there is no room. */
  add(labels: string, nowMs: number, claim?: Claim): Series {
    if (labels === this.#otherLabels) return this.#makeOther()
    const source = claim ? undefined : sourceOf(labels)
    if (!this.#hasRoom(claim, source)) return this.#crowdedOut(source)
    const series = new Series(labels, { claim, source, nowMs })
    this.#series.set(labels, series)
    if (claim) this.#claimed++
    if (source !== undefined) this.#ofSource.set(source, (this.#ofSource.get(source) ?? 0) + 1)
    return series
  }

  delete(series: Series): void {
    if (!this.#series.delete(series.labels)) return
    const { source, claim } = series
    if (claim) this.#claimed--
    if (source === undefined) return
    const left = (this.#ofSource.get(source) ?? 0) - 1
    if (left > 0) this.#ofSource.set(source, left)
    else this.#ofSource.delete(source)
  }

  /**
   * Where there was no room once, forgets series of sources that have not moved for an hour, but for those between ends that
   * have connections open: `open` are their label texts. To Prometheus one that comes back is a counter that begins anew. True
   * where there is more room now.
   */
  tidy(nowMs: number, open: () => ReadonlySet<string>): boolean {
    if (!this.#other) return false
    if (nowMs < this.#tidyAtMs) return false
    this.#tidyAtMs = nowMs + TIDY_MS
    const idle = [...this.#series.values()].filter(
      ({ source, movedAtMs }) => source !== undefined && nowMs - movedAtMs >= IDLE_MS,
    )
    if (idle.length === 0) return false
    const busy = open()
    const gone = idle.filter(({ labels }) => !busy.has(flagged(labels, '-')))
    for (const series of gone) this.delete(series)
    return gone.length > 0
  }

  #hasRoom(claim: Claim | undefined, source: string | undefined): boolean {
    const { maxSeries } = this.#options
    if (claim) return this.#claimed < maxSeries
    const free = maxSeries - (this.#series.size - this.#claimed - (this.#other ? 1 : 0))
    return source === undefined ? free > 0 : (this.#ofSource.get(source) ?? 0) < free
  }

  /** Says once that there is no room, and for whom there was none first. */
  #crowdedOut(source: string | undefined): Series {
    const { definition, maxSeries, log } = this.#options
    if (!this.#other) {
      log.warn('too many series of a metric: further ones are counted together under the label "other"', {
        metric: definition.name,
        limit: maxSeries,
        ...(source !== undefined && { source }),
      })
    }
    return this.#makeOther()
  }

  #makeOther(): Series {
    this.#other ??= new Series(this.#otherLabels)
    this.#series.set(this.#otherLabels, this.#other)
    return this.#other
  }
}

/** The label text under which a metric counts what it has no room for. */
export function otherLabels({ labels }: MetricFamily): string {
  return labels.map((name) => label(name, 'other')).join(',')
}
