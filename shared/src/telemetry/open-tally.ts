import type { Claim } from './claim.ts'
import { METRICS } from './metric-family.ts'
import type { MetricsDelta } from './metric-registry.ts'
import { otherLabels } from './series-family.ts'
import { flagged } from './traffic-labels.ts'

/** A process has 10,000 series of connections at most, claims included. */
const MAX_ENDS = 15_000

const OTHER = otherLabels(METRICS.opened)

interface Tally {
  open: number
  claim: Claim | undefined
}

/**
 * What another process has open, by the deltas that it told: opened without closed. For when it dies, for its connections
 * have ended then, and it cannot count them any more. Bounded by itself.
 */
export class OpenTally {
  /** By label text with the flag of no failure; none that is 0. */
  readonly #ends = new Map<string, Tally>()

  /** How much is remembered. */
  get size(): number {
    return this.#ends.size
  }

  add(delta: MetricsDelta): void {
    for (const { name, series } of delta) {
      const sign = name === METRICS.opened.name ? 1 : name === METRICS.closed.name ? -1 : 0
      if (sign === 0) continue
      for (const [labels, count, claim] of series) this.#count(flagged(labels, '-'), sign * count, claim)
    }
    if (this.#ends.size > MAX_ENDS) this.#settle()
  }

  /** Ends between which something is open: the label text of no failure. */
  *openEnds(): Iterable<string> {
    for (const { labels } of this.#open()) yield labels
  }

  /** What is open, as closed by a cut: CONNECT is Istio's flag of connections that end without a reason of their own. */
  cut(): MetricsDelta {
    const series: (readonly [string, number, Claim?])[] = []
    for (const { labels, open, claim } of this.#open()) {
      const text = flagged(labels, 'CONNECT')
      if (claim) series.push([text, open, { ...claim, instead: flagged(claim.instead, 'CONNECT') }])
      else series.push([text, open])
    }
    this.#ends.clear()
    return [METRICS.closed, METRICS.failed].map(({ name }) => ({ name, series }))
  }

  /**
   * A process whose metrics were full counted some under `other` when they closed only, or when they opened only: then the sum
   * is right, the labels are not.
   */
  *#open(): Iterable<Tally & { readonly labels: string }> {
    let surplus = 0
    for (const { open } of this.#ends.values()) surplus += Math.max(0, -open)
    // What closed under its own labels and opened as one of the others is found there; the rest is likely what opened first.
    const other = this.#ends.get(OTHER)
    const rest = [...this.#ends].filter(([labels]) => labels !== OTHER)
    for (const [labels, { open, claim }] of other ? [[OTHER, other] as const, ...rest] : rest) {
      const covered = Math.min(surplus, Math.max(0, open))
      surplus -= covered
      if (open > covered) yield { labels, open: open - covered, claim }
    }
  }

  /** So that what closed under other labels than it opened under is not remembered for ever. */
  #settle(): void {
    const open = [...this.#open()]
    const debtor = [...this.#ends].find(([, tally]) => tally.open < 0)?.[0]
    let debt = 0
    for (const tally of this.#ends.values()) debt += tally.open
    this.#ends.clear()
    for (const { labels, open: count, claim } of open) {
      this.#ends.set(labels, { open: count, claim })
      debt -= count
    }
    if (debtor !== undefined && debt < 0) this.#ends.set(debtor, { open: debt, claim: undefined })
  }

  #count(labels: string, change: number, claim: Claim | undefined): void {
    const open = (this.#ends.get(labels)?.open ?? 0) + change
    if (open === 0) this.#ends.delete(labels)
    else this.#ends.set(labels, { open, claim })
  }
}
