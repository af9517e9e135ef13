// The demo as `npm start -- --json` runs it, so that what a newcomer sees first is never broken.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { t } from 'tap'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
/** What the demo promises to show; a check that went missing is a failure too. */
const CHECKS = 14

void t.test('the demo', async (t) => {
  const demo = spawn(process.execPath, ['--disable-warning=DEP0111', MAIN, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(demo, 'close')
  const [stdout, stderr] = await Promise.all([text(demo.stdout), text(demo.stderr)])
  const [code] = (await closed) as [number | null]
  const { checks } = JSON.parse(stdout) as {
    readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly observed: string }[]
  } // our own output
  for (const { name, ok, observed } of checks) t.ok(ok, name, { observed })
  t.equal(checks.length, CHECKS)
  t.equal(code, 0, stderr)
})

void t.test('Ctrl-C in its middle, again and again: it says so, blames nothing and cleans up', async (t) => {
  const demo = spawn(process.execPath, ['--disable-warning=DEP0111', MAIN, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, as on a terminal: Ctrl-C reaches all of it.
    detached: true,
  })
  const closed = once(demo, 'close')
  let stderr = ''
  let pressing: NodeJS.Timeout | undefined
  demo.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8')
    // The first check is told; the next one is being made.
    if (stderr.includes('✔') && !stderr.includes('interrupted')) demo.kill('SIGINT')
    if (stderr.includes('interrupted')) pressing ??= setInterval(press, 1)
  })
  const press = (): void => {
    if (demo.pid !== undefined && demo.exitCode === null) process.kill(-demo.pid, 'SIGINT')
  }
  demo.once('exit', () => clearInterval(pressing))
  const stdout = await text(demo.stdout)
  t.same(await closed, [130, null])
  t.match(stderr, 'interrupted: cleaning up')
  t.notMatch(stderr, /✘|failed|not cleaned up/)
  t.equal(stdout, '')
})

void t.test('nobody reads on (npm start | head): it cleans up, and no stack trace is shown', async (t) => {
  const demo = spawn(process.execPath, ['--disable-warning=DEP0111', MAIN], { stdio: ['ignore', 'pipe', 'pipe'] })
  const closed = once(demo, 'close')
  demo.stdout.once('data', () => demo.stdout.destroy())
  const stderr = await text(demo.stderr)
  t.same(await closed, [141, null])
  t.match(stderr, 'interrupted: cleaning up')
  t.notMatch(stderr, /EPIPE|✘|failed|not cleaned up/)
})
