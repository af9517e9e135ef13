// npm run profile: a ztunnel under load in clinic flame. test/launch/commands.mjs describes the options.
import { globSync, mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { command, eventually, Interruption, TestMesh, type Pod, type Program } from '../kit/index.ts'
import { PNPM } from '../launch/pnpm.mjs'
import { BULK_PORT, startApplications, WEB_PORTS } from './applications.ts'

/** Fetched on demand: 659 packages that nothing else needs. */
const CLINIC = 'clinic@13.0.0'
const OUTPUT = resolve('.clinic')
/** clinic reads samples and writes the page after ztunnel has ended. */
const ANALYSIS_MS = 180_000

const LOADS: Readonly<Record<string, (host: string, seconds: string) => string[]>> = {
  bulk: (host, seconds) => ['iperf3', '-c', host, '-p', String(BULK_PORT), '-t', seconds],
  requests: (host, seconds) => ['wrk', '-t', '1', '-c', '64', '-d', `${seconds}s`, `http://${host}:${WEB_PORTS[0]}/`],
  connections: (host, seconds) => {
    const url = `http://${host}:${WEB_PORTS[0]}/`
    return ['wrk', '-t', '1', '-c', '32', '-d', `${seconds}s`, '-H', 'Connection: close', url]
  },
}
const SIDES = ['client', 'server']

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    work: { type: 'string', default: 'requests' },
    side: { type: 'string', default: 'client' },
  },
})
const load = LOADS[values.work] ?? fail(`unknown work ${values.work}; there are ${Object.keys(LOADS).join(', ')}`)
if (!/^[1-9]\d{0,2}$/.test(values.seconds)) fail('--seconds wants a whole number from 1 to 999')
if (!SIDES.includes(values.side)) fail(`unknown side ${values.side}; there are ${SIDES.join(', ')}`)
if (process.env['AMBIT_WITHOUT_NAMESPACES']) fail('the profile needs network namespaces: run it as root', 1)

/** Begins the name of all that clinic writes. */
const NAME = `${values.work}-${values.side}-${new Date().toISOString().replaceAll(/[:.]/g, '')}`

let mesh: TestMesh | undefined
let page: string | undefined
const interruption = new Interruption(async () => report(await cleanUp()))
try {
  page = await profile()
  await interruption.pass()
  process.stdout.write(`${page}\n`)
} catch (error) {
  await interruption.pass()
  process.stderr.write(`profile: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
const faults = await cleanUp()
await interruption.pass()
report(faults)
process.exit()

/** The path of the page. */
async function profile(): Promise<string> {
  say(`fetching ${CLINIC} …`)
  const clinic = await clinicProgram()
  say('building two nodes …')
  mesh = await TestMesh.create()
  mesh.logsToFiles = true
  const [a, b] = [await mesh.node('a'), await mesh.node('b')]
  const [client, server] = [await a.pod('client'), await b.pod('server')]
  startApplications(mesh, server)
  await mesh.startCa()
  const [profiled, other] = values.side === 'client' ? [a, b] : [b, a]
  await mesh.startZtunnel(other)
  mkdirSync(OUTPUT, { recursive: true })
  const flame = [clinic, 'flame', '--open=false', '--dest', OUTPUT, '--name', NAME, '--', 'node']
  // NO_INSIGHT: without it and without a terminal clinic ends at once and says nothing.
  const environment = { AMBIT_WORKER_IN_PROCESS: 'true', NO_INSIGHT: '1' }
  const ztunnel = await mesh.startZtunnel(profiled, environment, { under: flame })
  await mesh.enrol(mesh.pods)
  await answers(client, server)

  say(`${values.work} for ${values.seconds} s through the ztunnel of the ${values.side} …`)
  const result = await client.run(load(server.v4, values.seconds), { timeoutMs: 1_000 * (Number(values.seconds) + 30) })
  await interruption.pass()
  if (result.code !== 0) throw new Error(`the load failed: ${result.stdout}${result.stderr}`)
  say('writing the flame graph …')
  await ztunnel.get(15_000, '/quitquitquit', ['-X', 'POST'])
  await written(ztunnel.program)
  const [file] = globSync(`${NAME}*.html`, { cwd: OUTPUT })
  if (file === undefined) throw new Error(`clinic wrote no page:\n${ztunnel.program.output.slice(-2_000)}`)
  return join(OUTPUT, file)
}

/**
 * Ends everything; answers what was not right. Without a page clinic is not waited for, which on SIGTERM would write one first, and
 * what it has written is removed.
 */
async function cleanUp(): Promise<readonly string[]> {
  if (page !== undefined) return (await mesh?.close()) ?? []
  const faults = (await mesh?.abandon()) ?? []
  for (const file of globSync(`${NAME}*`, { cwd: OUTPUT })) rmSync(join(OUTPUT, file), { recursive: true, force: true })
  return faults
}

function report(faults: readonly string[]): void {
  for (const fault of faults) say(`not cleaned up: ${fault}`)
}

async function answers(client: Pod, server: Pod): Promise<void> {
  await eventually('the server answers through the mesh', async () => {
    return (await client.curl(server.v4, WEB_PORTS[0])).stdout === 'ok\n'
  })
}

async function written(clinic: Program): Promise<void> {
  const deadline = AbortSignal.timeout(ANALYSIS_MS)
  while (clinic.isRunning) await setTimeout(200, undefined, { signal: deadline })
}

/** Where pnpm has put clinic's program, fetched if it is not there yet. A node's namespace has no way to a registry. */
async function clinicProgram(): Promise<string> {
  const words = ['npx', '--yes', PNPM, '--allow-build=es5-ext', `--package=${CLINIC}`, 'dlx', 'sh', '-c']
  const { code, stdout, stderr } = await command([...words, 'command -v clinic'], { timeoutMs: 300_000 })
  const path = stdout.split('\n').find((line) => line.startsWith('/'))
  if (code !== 0 || path === undefined) throw new Error(`${CLINIC} could not be fetched: ${stderr || stdout}`)
  return path
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function fail(text: string, code = 2): never {
  process.stderr.write(`profile: ${text}\n`)
  process.exit(code)
}
