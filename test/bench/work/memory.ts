import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { WEB_PORTS } from '../applications.ts'
import { pssKilobytes } from '../process-usage.ts'
import type { Samples } from '../samples.ts'
import type { Variant } from '../variant.ts'

const HOLD = fileURLToPath(new URL('../programs/hold.ts', import.meta.url))
/** Until the garbage of opening so many is gone: V8 collects what is idle after half a minute, not at once. */
const SETTLE_MS = 40_000

/** Until starting is over. */
const START_MS = 3_000

/** Memory of one node's proxy before anything was carried but the question whether it answers. */
export async function measureIdle(variants: readonly Variant[], samples: Samples): Promise<void> {
  await setTimeout(START_MS)
  for (const variant of variants)
    samples.add('pss', variant.name, pssKilobytes(variant.proxies()) / 1_024 / variant.nodes)
}

/** What each idle tunnel adds to the memory of one node's proxy, in KB; all variants hold theirs at the same time. */
export async function measureTunnels(
  variants: readonly Variant[],
  tunnels: number,
): Promise<ReadonlyMap<Variant, number>> {
  const before = new Map(variants.map((variant) => [variant, pssKilobytes(variant.proxies())]))
  const holders = variants.map(({ client, host, port }) =>
    client.start(`hold ${tunnels}`, [process.execPath, HOLD, host, String(port(WEB_PORTS[0])), String(tunnels)]),
  )
  for (const holder of holders) await holder.says(/holding/)
  await setTimeout(SETTLE_MS)
  const each = variants.map((variant) => {
    const added = pssKilobytes(variant.proxies()) - (before.get(variant) ?? 0)
    return [variant, added / variant.nodes / tunnels] as const
  })
  for (const holder of holders) {
    holder.endInput()
    await holder.exited
  }
  return new Map(each)
}
