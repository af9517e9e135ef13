import type { Claim } from './claim.ts'
import { METRICS } from './metric-family.ts'
import type { MetricsDelta } from './metric-registry.ts'
import { flagged } from './traffic-labels.ts'

interface Tally {
  open: number
  claim: Claim | undefined
}

/**
 * What another process has open, by the deltas that it told: opened without closed. For when it dies, for its connections
 * have ended then, and it cannot count them any more. Bounded by the series of that process.
 */
export class OpenTally {
  /** By label text with the flag of no failure; none that is 0. */
  readonly #ends = new Map<string, Tally>()

  add(delta: MetricsDelta): void {
    for (const { name, series } of delta) {
      const sign = name === METRICS.opened.name ? 1 : name === METRICS.closed.name ? -1 : 0
      if (sign === 0) continue
      for (const [labels, count, claim] of series) this.#count(flagged(labels, '-'), sign * count, claim)
    }
  }

  /** What is open, as closed by a cut: CONNECT is Istio's flag of connections that end without a reason of their own. */
  cut(): MetricsDelta {
    // A process whose metrics were full counted some under `other` when they closed only, or when they opened only: then
    // the sum is right, the labels are not.
    let surplus = 0
    for (const { open } of this.#ends.values()) surplus += Math.max(0, -open)
    const series: (readonly [string, number, Claim?])[] = []
    for (const [labels, { open, claim }] of this.#ends) {
      const covered = Math.min(surplus, Math.max(0, open))
      surplus -= covered
      if (open <= covered) continue
      const text = flagged(labels, 'CONNECT')
      if (claim) series.push([text, open - covered, { ...claim, instead: flagged(claim.instead, 'CONNECT') }])
      else series.push([text, open - covered])
    }
    this.#ends.clear()
    return [METRICS.closed, METRICS.failed].map(({ name }) => ({ name, series }))
  }

  #count(labels: string, change: number, claim: Claim | undefined): void {
    const open = (this.#ends.get(labels)?.open ?? 0) + change
    if (open === 0) this.#ends.delete(labels)
    else this.#ends.set(labels, { open, claim })
  }
}
