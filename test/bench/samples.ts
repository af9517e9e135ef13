import type { VariantName } from './variant.ts'

/** The works of the result, in its order, with their units. */
const WORKS = {
  bulk1: 'Gbit/s',
  bulk8: 'Gbit/s',
  fair8: 'min/max',
  rps1: 'requests/s',
  rps64: 'requests/s',
  // Of direct as they are, of all others what they add to direct.
  p50: 'µs (added)',
  p90: 'µs (added)',
  p99: 'µs (added)',
  cps: 'connections/s',
  mixed: 'p50 beside bulk / alone',
  cpu_gb: 's',
  cpu_req: 'ms',
  cpu_conn: 'ms',
  pss: 'MB',
  pss_tunnel: 'KB',
} as const
export type Work = keyof typeof WORKS

const ADDED: ReadonlySet<Work> = new Set(['p50', 'p90', 'p99'])

export type Row = { readonly work: Work; readonly unit: string } & Readonly<Record<VariantName, number | null>>

/** Everything that was measured, repetition by repetition; the median counts. */
export class Samples {
  readonly #values = new Map<string, number[]>()

  add(work: Work, variant: VariantName, value: number): void {
    const key = `${work} ${variant}`
    const values = this.#values.get(key) ?? []
    values.push(value)
    this.#values.set(key, values)
  }

  /** Null where nothing was measured. */
  median(work: Work, variant: VariantName): number | null {
    const sorted = (this.#values.get(`${work} ${variant}`) ?? []).toSorted((a, b) => a - b)
    const middle = sorted.length >> 1
    const upper = sorted[middle]
    if (upper === undefined) return null
    return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
  }

  get rows(): readonly Row[] {
    const works = Object.keys(WORKS) as Work[] // The keys of our own constant.
    return works.map((work) => {
      const direct = this.median(work, 'direct')
      const proxied = (variant: VariantName): number | null => {
        const value = this.median(work, variant)
        return ADDED.has(work) && value !== null && direct !== null ? value - direct : value
      }
      return {
        work,
        unit: WORKS[work],
        direct,
        tcp: proxied('tcp'),
        http2: proxied('http2'),
        hbone: proxied('hbone'),
        envoy: proxied('envoy'),
      }
    })
  }
}
