// What a test leaves behind is found, or no other test would tell that anything leaks.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { command, eventually } from '../kit/index.ts'

const at = (path: string): string => fileURLToPath(new URL(`../kit/${path}`, import.meta.url))

/** A test file as the runner starts it, which does not wait for long. */
function run(what: string): ReturnType<typeof command> {
  const words = [process.execPath, '--import', at('leftovers.ts'), at('programs/leaves.test.ts'), what]
  return command(words, { env: { AMBIT_TEST_PATIENCE_MS: '1000' } })
}

for (const [what, told] of [
  ['a timer', /left behind by .*leaves\.test\.ts:\n {2}a timer at .*leaves\.test\.ts:9:/],
  ['a file', /left behind by .*\n {2}open: \d+ → .*leaves\.test\.ts\n/],
  ['a listener', /left behind by .*\n {2}open: \d+ → socket:/],
] as const) {
  void t.test(`${what} fails the file`, async (t) => {
    const { code, stderr } = await run(what)
    t.equal(code, 1)
    t.match(stderr, told)
  })
}

void t.test('a process in a namespace of a mesh is a fault, and is killed', async (t) => {
  const { stdout } = await run('a process')
  const faults = JSON.parse(stdout) as readonly string[]
  t.match(faults, [/^process \d+ was left: sleep 600/])
  t.equal(faults.length, 1)
  const [pid = ''] = /\d+/.exec(faults[0] ?? '') ?? []
  await eventually(
    'it is killed',
    () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/cmdline`).length === 0,
  )
})

void t.test('who leaves nothing is not blamed', async (t) => {
  t.match(await run('nothing'), { code: 0, stdout: '', stderr: '' })
})
