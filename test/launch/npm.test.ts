// A signal to npm reaches the program: nothing is left behind that holds its ports.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually } from '../kit/index.ts'
import { familyOf, isRunning, type ProcessMark } from '../kit/processes.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

void t.test('SIGTERM to npm ends the program that it runs, with its exit code', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'ambit-npm-'))
  const authorizer = join(directory, 'authorizer.yaml')
  await writeFile(authorizer, 'nodes: []')
  const words = ['--authorizer', authorizer, '--state-dir', join(directory, 'state'), '--listen', '127.0.0.1:0']
  // npm would leave its compiled code in the temporary directory of the run.
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' }
  const npm = spawn('npm', ['run', 'ca', '--', ...words], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env })
  let said = ''
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', (part: Buffer) => (said += part.toString()))
  const ended = once(npm, 'exit')
  let family: readonly ProcessMark[] = []
  t.teardown(async () => {
    for (const { pid } of family.filter(isRunning)) process.kill(pid, 'SIGKILL')
    await rm(directory, { recursive: true })
  })
  await eventually('the CA listens', () => {
    family = familyOf([npm.pid ?? 0])
    return said.includes('ready:')
  })
  npm.kill('SIGTERM')
  t.same(await ended, [0, null], said)
  await eventually('nothing that it started runs', () => !family.some(isRunning))
})
