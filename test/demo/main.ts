// The demo (npm start): tells the story of a mesh with real programs and prints what was observed.
import { parseArgs } from 'node:util'
import { Interruption, TestMesh } from '../kit/index.ts'
import { Checks, type Check } from './checks.ts'
import { followLogs } from './follow-logs.ts'
import { hints } from './hints.ts'
import { assemble, tell } from './story.ts'

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
const isInteractive = process.stdout.isTTY && !values.json

if (process.env['AMBIT_WITHOUT_NAMESPACES']) {
  process.stderr.write('the demo needs network namespaces: run it as root, or where user namespaces are allowed\n')
  process.exit(1)
}

let mesh: TestMesh | undefined

function show({ name, ok, observed }: Check): void {
  const line = `${ok ? '✔' : '✘'} ${name}\n    ${observed}\n`
  if (values.json) process.stderr.write(line)
  else process.stdout.write(line)
}

const checks = new Checks(show)

// What is looked at just now says nothing any more.
const interruption = new Interruption(async () => {
  checks.interrupt()
  for (const fault of (await mesh?.close()) ?? []) process.stderr.write(`not cleaned up: ${fault}\n`)
})
// Whoever started the demo is gone: nobody can end it any more.
const launcher = process.ppid
setInterval(() => {
  if (process.ppid !== launcher) interruption.begin(1)
}, 1_000).unref()

try {
  process.stderr.write('building two nodes with four pods …\n')
  mesh = await TestMesh.create()
  const cast = await assemble(mesh)
  await tell(mesh, cast, checks)
  await interruption.pass()
  if (isInteractive) {
    process.stdout.write(hints(mesh))
    followLogs(mesh, (line) => process.stdout.write(`${line}\n`))
    await new Promise(() => {})
  }
} catch (error) {
  const observed = error instanceof Error ? error.message : String(error)
  checks.add({ name: 'the demo itself', ok: false, observed })
}
const faults = (await mesh?.close()) ?? []
await interruption.pass()
const cleaned = faults.length === 0
checks.add({
  name: 'everything is cleaned up',
  ok: cleaned,
  observed: cleaned ? (mesh?.lookedAt ?? 'nothing was made') : faults.join('; '),
})
if (values.json) process.stdout.write(`${JSON.stringify({ checks: checks.made })}\n`)
for (const { name, observed } of checks.failed) process.stderr.write(`failed: ${name}: ${observed}\n`)
process.exit(checks.failed.length === 0 ? 0 : 1)
