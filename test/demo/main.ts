// The demo (npm start): tells the story of a mesh with real programs and prints what was observed.
import { parseArgs } from 'node:util'
import { TestMesh } from '../kit/index.ts'
import { Checks, type Check } from './checks.ts'
import { hints } from './hints.ts'
import { assemble, tell } from './story.ts'

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
const isInteractive = process.stdout.isTTY && !values.json

if (process.env['AMBIT_WITHOUT_NAMESPACES']) {
  process.stderr.write('the demo needs network namespaces: run it as root, or where user namespaces are allowed\n')
  process.exit(1)
}

let mesh: TestMesh | undefined
let closing: Promise<readonly string[]> | undefined

/** Everything that was started ends here, whatever happened. */
function close(): Promise<readonly string[]> {
  closing ??= mesh?.close() ?? Promise.resolve([])
  return closing
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    process.stderr.write(`\n${signal}: cleaning up\n`)
    void close().then(() => process.exit(signal === 'SIGINT' ? 130 : 143))
  })
}
// Whoever started the demo is gone: nobody can end it any more.
const launcher = process.ppid
setInterval(() => {
  if (process.ppid !== launcher) void close().then(() => process.exit(1))
}, 1_000).unref()

function show({ name, ok, observed }: Check): void {
  const line = `${ok ? '✔' : '✘'} ${name}\n    ${observed}\n`
  if (values.json) process.stderr.write(line)
  else process.stdout.write(line)
}

const checks = new Checks(show)
try {
  process.stderr.write('building two nodes with four pods …\n')
  mesh = await TestMesh.create()
  const cast = await assemble(mesh)
  await tell(mesh, cast, checks)
  if (isInteractive) {
    process.stdout.write(hints(mesh))
    await new Promise(() => {})
  }
} catch (error) {
  if (!closing)
    checks.made.push({
      name: 'the demo itself',
      ok: false,
      observed: error instanceof Error ? error.message : String(error),
    })
}
const faults = await close()
checks.made.push({
  name: 'everything is cleaned up',
  ok: faults.length === 0,
  observed: faults.join('; ') || (mesh?.lookedAt ?? 'nothing was made'),
})
if (values.json) process.stdout.write(`${JSON.stringify({ checks: checks.made })}\n`)
for (const { name, observed } of checks.failed) process.stderr.write(`failed: ${name}: ${observed}\n`)
process.exit(checks.failed.length === 0 ? 0 : 1)
