import type { Family } from '../ip/index.ts'

/** What a name stands for: at least one address. */
export interface Addresses {
  readonly v4: readonly string[]
  readonly v6: readonly string[]
}

/** One of them at random, of the family where it has any, else of the other one (Istio ztunnel's choice). */
export function pickAddress({ v4, v6 }: Addresses, family: Family, random: () => number): string {
  const [wanted, others] = family === 4 ? [v4, v6] : [v6, v4]
  const choice = wanted.length > 0 ? wanted : others
  const picked = choice[Math.floor(random() * choice.length)]
  if (picked === undefined) throw new Error('a name without any address counts as resolved')
  return picked
}
