import { readFileSync, rmSync } from 'node:fs'
import type { TestMesh } from '../../kit/index.ts'
import { WEB_PORTS } from '../applications.ts'
import type { Variant } from '../variant.ts'
import type { Measurement } from './measurement.ts'

const CLIENTS = 10
const PER_SECOND = 1_000
/** Handshakes and first compilations are not what is asked here. */
const SETTLING_US = 500_000

/** A fixed rate of requests of 1 KB; open loop, so that a stall counts for every request that it held up. */
export function latency(mesh: TestMesh): Measurement {
  return {
    name: 'latency',
    async measure(variant, samples, seconds) {
      const times = await requestTimes(mesh, variant, seconds + 1)
      for (const [work, share] of [
        ['p50', 0.5],
        ['p90', 0.9],
        ['p99', 0.99],
      ] as const) {
        samples.add(work, variant.name, times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN)
      }
    },
  }
}

/** How long each request took, in microseconds, shortest first. */
async function requestTimes(mesh: TestMesh, { client, name, host, port }: Variant, seconds: number): Promise<number[]> {
  const log = mesh.files.logPath(`latency-${name}.log`)
  rmSync(log, { force: true })
  // h2load sends `-D` and `--rps` apart from each other only when a number of clients is given; its rate is per client.
  const words = ['h2load', '--h1', '-c', CLIENTS, '--rps', PER_SECOND / CLIENTS, '-D', seconds, '--log-file', log]
  const { stdout, stderr } = await client.run([...words.map(String), `http://${host}:${port(WEB_PORTS[0])}/kilobyte`], {
    timeoutMs: (seconds + 20) * 1_000,
  })
  // Start in microseconds, status, duration in microseconds.
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  const requests = lines.map((line) => line.split('\t').map(Number))
  const first = requests.reduce((least, [start = Infinity]) => Math.min(least, start), Infinity)
  const good = requests.filter(([start = 0, status]) => status === 200 && start > first + SETTLING_US)
  if (good.length < (PER_SECOND * seconds) / 2)
    throw new Error(`h2load over ${name}: ${good.length} answers\n${stdout}${stderr}`)
  return good.map(([, , duration = NaN]) => duration).toSorted((a, b) => a - b)
}
