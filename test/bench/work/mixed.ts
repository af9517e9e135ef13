import { BULK_PORT, WEB_PORTS } from '../applications.ts'
import type { Measurement } from './measurement.ts'
import { wrk } from './wrk.ts'

/** How much slower small requests are beside one bulk stream than alone. */
export const mixed: Measurement = {
  name: 'mixed',
  async measure(variant, samples, seconds) {
    const { client, host } = variant
    const small = { connections: 4, seconds }
    const alone = await wrk(variant, variant.port(WEB_PORTS[0]), small)
    const bulk = client.run(
      ['iperf3', '-c', host, '-p', String(variant.port(BULK_PORT)), '-t', String(Math.ceil(seconds) + 2)],
      { timeoutMs: (seconds + 20) * 1_000 },
    )
    await new Promise((resolve) => {
      setTimeout(resolve, 1_000)
    })
    const beside = await wrk(variant, variant.port(WEB_PORTS[0]), small)
    const { code, stderr } = await bulk
    if (code !== 0) throw new Error(`iperf3 beside requests: ${stderr}`)
    samples.add('mixed', variant.name, beside.p50Us / alone.p50Us)
  },
}
