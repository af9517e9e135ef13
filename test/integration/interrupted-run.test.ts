// Told to end, npm test ends what it runs: test files, the programs of their meshes, the namespaces, the temporary files.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { eventually } from '../kit/index.ts'
import { familyOf, isRunning, type ProcessMark } from '../kit/processes.ts'
import { namespacesOf } from '../kit/remains.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Files of which another is due as soon as one has ended. */
const STORIES = ['integration/answers', 'integration/redirection', 'integration/services']
/** A file whose tests keep private keys in temporary directories, and start programs without the variables of the run. */
const KEYS = 'ca/cli/cli.test'

t.setTimeout(60_000)

interface NpmTest {
  readonly npm: ChildProcess
  /** Resolves with the exit code and the signal. */
  readonly ended: Promise<unknown>
  /** Standard output and error, at the end. */
  readonly said: Promise<readonly [string, string]>
  /** TMPDIR that it is given. */
  readonly temporary: string
}

function start(t: Test, patterns: readonly string[]): NpmTest {
  const temporary = mkdtempSync(join(tmpdir(), 'npm-'))
  t.teardown(() => rmSync(temporary, { recursive: true }))
  const npm = spawn('npm', ['test', '--', '--no-checks', ...patterns], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // npm would leave its compiled code there.
    env: { ...process.env, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: '1' },
  })
  return { npm, ended: once(npm, 'close'), said: Promise.all([text(npm.stdout), text(npm.stderr)]), temporary }
}

void t.test('SIGTERM to npm test', async (t) => {
  const { npm, ended, said, temporary } = start(t, STORIES)
  let family: readonly ProcessMark[] = []
  let prefixes: readonly string[] = []
  t.teardown(() => {
    for (const { pid } of family.filter(isRunning)) process.kill(pid, 'SIGKILL')
  })
  await eventually('two meshes have a ztunnel', () => {
    family = familyOf([npm.pid ?? 0])
    prefixes = family.flatMap(({ command }) => / janitor (am\w+) /.exec(command)?.[1] ?? [])
    return prefixes.length === 2 && family.filter(({ command }) => command.includes('ztunnel/src/main')).length >= 2
  })
  npm.kill('SIGTERM')
  t.same(await ended, [143, null])
  t.same(family.filter(isRunning), [])
  t.same(readdirSync(temporary), [])
  for (const prefix of prefixes) t.same(namespacesOf(prefix), [])
  const [stdout, stderr] = await said
  t.equal(stdout, '', 'no test file is told to have failed')
  t.match(stderr, 'interrupted')
})

void t.test('SIGTERM while a CA has its private key in a temporary directory: neither is left', async (t) => {
  const { npm, ended, temporary } = start(t, [KEYS])
  let family: readonly ProcessMark[] = []
  t.teardown(() => {
    for (const { pid } of family.filter(isRunning)) process.kill(pid, 'SIGKILL')
  })
  await eventually('a CA has its key', () => {
    family = familyOf([npm.pid ?? 0])
    return (
      globSync('**/ca-key.pem', { cwd: temporary }).length > 0 &&
      family.some(({ command }) => command.includes('ca/main'))
    )
  })
  npm.kill('SIGTERM')
  t.same(await ended, [143, null])
  t.same(family.filter(isRunning), [])
  t.same(readdirSync(temporary), [])
})

void t.test('a temporary file that is left fails the run, which removes it', async (t) => {
  const { ended, said, temporary } = start(t, [KEYS])
  let directory = ''
  await eventually('a test file runs', () => {
    const [inside] = globSync('*/ambit-ca-*', { cwd: temporary })
    directory = inside === undefined ? '' : join(temporary, inside, '..')
    return inside !== undefined
  })
  writeFileSync(join(directory, 'forgotten'), '')
  t.same(await ended, [1, null])
  const [stdout] = await said
  t.match(stdout, `${join(directory, 'forgotten')} was left`)
  t.match(stdout, '1 failed')
  t.same(readdirSync(temporary), [])
})
