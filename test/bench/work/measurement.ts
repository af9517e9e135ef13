import { cpuSeconds } from '../process-usage.ts'
import type { Samples } from '../samples.ts'
import type { Variant } from '../variant.ts'

export interface Measurement {
  /** As on the command line. */
  readonly name: string
  /** Where the usual warm-up is too short. */
  readonly warmUpSeconds?: number
  /** Measures one variant once, for about so many seconds, and adds what it found. */
  measure(variant: Variant, samples: Samples, seconds: number): Promise<void>
}

/** CPU seconds that the proxies of a variant used while something was done. */
export async function withCpu<T>(variant: Variant, doing: () => Promise<T>): Promise<{ result: T; cpu: number }> {
  const pids = variant.proxies()
  const before = cpuSeconds(pids)
  const result = await doing()
  return { result, cpu: cpuSeconds(pids) - before }
}
