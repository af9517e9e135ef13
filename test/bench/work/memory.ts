import { fileURLToPath } from 'node:url'
import { WEB_PORTS } from '../applications.ts'
import { pssKilobytes } from '../process-usage.ts'
import type { Samples } from '../samples.ts'
import type { Variant } from '../variant.ts'

const HOLD = fileURLToPath(new URL('../programs/hold.ts', import.meta.url))
/** Until garbage of the set-up is gone and reports were made. */
const SETTLE_MS = 3_000

/** Memory of one node's proxy before anything was carried. */
export function measureIdle(variant: Variant, samples: Samples): void {
  samples.add('pss', variant.name, pssKilobytes(variant.proxies()) / 1_024 / variant.nodes)
}

/** What each idle tunnel adds to the memory of one node's proxy, in KB. */
export async function measureTunnels(variant: Variant, tunnels: number): Promise<number> {
  const { client, host, port } = variant
  const before = pssKilobytes(variant.proxies())
  const words = [process.execPath, HOLD, host, String(port(WEB_PORTS[0])), String(tunnels)]
  const holder = client.start(`hold ${tunnels}`, words)
  await holder.says(/holding/)
  await settle()
  const after = pssKilobytes(variant.proxies())
  holder.endInput()
  await holder.exited
  await settle()
  return (after - before) / variant.nodes / tunnels
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, SETTLE_MS)
  })
}
