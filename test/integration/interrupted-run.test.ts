// Told to end, npm test ends what it runs: test files, the programs of their meshes, the namespaces.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually } from '../kit/index.ts'
import { familyOf, isRunning, type ProcessMark } from '../kit/processes.ts'
import { namespacesOf } from '../kit/remains.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Files of which another is due as soon as one has ended. */
const STORIES = ['integration/answers', 'integration/redirection', 'integration/services']

t.setTimeout(60_000)

void t.test('SIGTERM to npm test', async (t) => {
  const npm = spawn('npm', ['test', '--', '--no-checks', ...STORIES], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(npm, 'close')
  const said = Promise.all([text(npm.stdout), text(npm.stderr)])
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
  for (const prefix of prefixes) t.same(namespacesOf(prefix), [])
  const [stdout, stderr] = await said
  t.equal(stdout, '', 'no test file is told to have failed')
  t.match(stderr, 'interrupted')
})
