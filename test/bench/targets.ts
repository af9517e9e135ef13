import type { Row, Work } from './samples.ts'

export interface Target {
  readonly what: string
  /** Null where something that it needs was not measured. */
  readonly value: number | null
  readonly wanted: string
  readonly isMet: boolean | null
}

/** What the product promises, as ratios within one run, because absolute figures belong to the machine. */
export function targets(rows: readonly Row[]): readonly Target[] {
  const get = (work: Work, variant: 'direct' | 'tcp' | 'http2' | 'hbone' = 'hbone'): number | null =>
    rows.find((row) => row.work === work)?.[variant] ?? null
  const ratio = (work: Work, to: 'direct' | 'http2'): number | null => divided(get(work), get(work, to))
  const added = get('p99')
  const addedByTcp = get('p99', 'tcp')
  return [
    atLeast('bulk ×1 / http2', ratio('bulk1', 'http2'), 1.5),
    atLeast('bulk ×8 / http2', ratio('bulk8', 'http2'), 1.5),
    atLeast('requests (64) / http2', ratio('rps64', 'http2'), 1.4),
    atLeast('new connections / http2', ratio('cps', 'http2'), 1.5),
    atMost('CPU per GB / http2', ratio('cpu_gb', 'http2'), 0.7),
    atMost('CPU per request / http2', ratio('cpu_req', 'http2'), 0.7),
    atMost('CPU per connection / http2', ratio('cpu_conn', 'http2'), 0.7),
    atLeast('bulk ×1 / direct', ratio('bulk1', 'direct'), 0.35),
    atLeast('requests (64) / direct', ratio('rps64', 'direct'), 0.35),
    atLeast('fairness of 8 bulk streams', get('fair8'), 0.8),
    atMost('small requests beside bulk', get('mixed'), 3),
    atMost('added p99 above tcp, µs', added === null || addedByTcp === null ? null : added - addedByTcp, 1_000),
    atMost('KB per idle tunnel', get('pss_tunnel'), 10),
    atMost('idle memory of one node, MB', get('pss'), 110),
  ]
}

function divided(value: number | null, by: number | null): number | null {
  return value === null || by === null ? null : value / by
}

function atLeast(what: string, value: number | null, least: number): Target {
  return { what, value, wanted: `≥ ${least}`, isMet: value === null ? null : value >= least }
}

function atMost(what: string, value: number | null, most: number): Target {
  return { what, value, wanted: `≤ ${most}`, isMet: value === null ? null : value <= most }
}
