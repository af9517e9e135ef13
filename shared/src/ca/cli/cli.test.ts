import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { splitPem } from '../../certificates/index.ts'
import { systemClock } from '../../clock/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { silentLog } from '../../log/index.ts'
import {
  eventually,
  newAuthority,
  NODE_TOKEN,
  temporaryDirectory,
  writeAuthority,
  type Teardown,
} from '../ca-fixture.ts'
import { createCaClient } from '../client/index.ts'
import { caUsage, readCaOptions } from './ca-options.ts'

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url))
const NEEDED = ['--authorizer', 'a.yaml', '--state-dir', 'state']
const id = SpiffeId.of('cluster.local', 'default', 'client')

function problemsOf(words: string[], variables: Record<string, string> = {}): string {
  try {
    readCaOptions(words, variables)
    return 'none'
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

interface Run {
  readonly child: ChildProcess
  output(): string
  /** Resolves with the exit code. */
  readonly ended: Promise<unknown>
}

function start(t: Teardown, words: string[]): Run {
  // No variable but that by which an interrupted npm test finds what it must end.
  const env = { AMBIT_TEST_RUN: process.env['AMBIT_TEST_RUN'] }
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'], env })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (text += part))
  const ended = once(child, 'close').then(([code]: unknown[]) => code)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, output: () => text, ended }
}

async function ready(run: Run): Promise<string> {
  let ended = false
  void run.ended.then(() => (ended = true))
  await eventually(() => ended || run.output().includes('ready:'))
  const port = /127\.0\.0\.1:(\d+)/u.exec(run.output())?.[1]
  if (port === undefined) throw new Error(run.output())
  return `https://127.0.0.1:${port}`
}

void t.test('options win over variables, and both over the defaults', async (t) => {
  t.match(readCaOptions(NEEDED, {}), {
    listen: { address: '::', port: 15_012 },
    signing: { stateDirectory: 'state' },
    trustDomain: 'cluster.local',
    defaultTtlMs: 86_400_000,
    maxTtlMs: 90 * 86_400_000,
    rootTtlMs: 3650 * 86_400_000,
    servingNames: ['localhost', '127.0.0.1', '::1', 'istiod.istio-system.svc'],
    rootOutputPath: undefined,
    logFormat: 'plain',
  })
  const variables = {
    CA_AUTHORIZER_FILE: 'b.yaml',
    ROOT_CA_DIR: '/etc/cacerts',
    TRUST_DOMAIN: 'mesh.example',
    MAX_WORKLOAD_CERT_TTL: '1h30m',
    DEFAULT_WORKLOAD_CERT_TTL: '600',
    ISTIOD_CUSTOM_HOST: 'ca.example, 10.0.0.1,localhost',
    CA_LISTEN_ADDRESS: ':0',
    CA_WRITE_ROOT: '',
  }
  t.match(readCaOptions(['--trust-domain=other.example', '--listen', '[fd00::1]:1'], variables), {
    listen: { address: 'fd00::1', port: 1 },
    signing: { importedDirectory: '/etc/cacerts' },
    authorizerPath: 'b.yaml',
    trustDomain: 'other.example',
    maxTtlMs: 5_400_000,
    defaultTtlMs: 600_000,
    servingNames: ['localhost', '127.0.0.1', '::1', 'istiod.istio-system.svc', 'ca.example', '10.0.0.1'],
    rootOutputPath: undefined,
  })
  t.match(readCaOptions([...NEEDED, '--max-ttl', '1h'], {}), { defaultTtlMs: 3_600_000, maxTtlMs: 3_600_000 })
  t.equal(readCaOptions(['--help', '--nonsense'], {}), 'help')
  for (const name of ['--listen', '--cacerts', 'ROOT_CA_DIR', 'TRUST_DOMAIN', '--write-crl'])
    t.ok(caUsage().includes(name))
})

void t.test('every wrong option is reported at once', async (t) => {
  const problems = problemsOf(
    [
      '--listen',
      '::1:80',
      '--state-dir',
      'a',
      '--cacerts',
      'b',
      '--max-ttl',
      'soon',
      '--nonsense',
      'word',
      '--log-format=xml',
    ],
    { TRUST_DOMAIN: 'a b', RUST_LOG: 'loud', ISTIOD_CUSTOM_HOST: 'a b' },
  )
  for (const part of [
    /--listen "::1:80": write address:port/,
    /--state-dir \(CA_STATE_DIR\) and --cacerts \(ROOT_CA_DIR\) are both given.*give only one/,
    /--max-ttl "soon"/,
    /unknown option --nonsense/,
    /unknown word "word"/,
    /--log-format "xml"/,
    /TRUST_DOMAIN "a b"/,
    /RUST_LOG "loud"/,
    /ISTIOD_CUSTOM_HOST "a b"/,
    /--authorizer \(CA_AUTHORIZER_FILE\) is missing: the file that says which token may have which identities\n/,
  ]) {
    t.match(problems, part)
  }
  t.match(problemsOf(['--authorizer', 'a.yaml']), /give one of --state-dir \(CA_STATE_DIR\) and --cacerts/)
  t.match(problemsOf([...NEEDED, '--state-dir=b']), /^wrong options:\n  - --state-dir is given twice$/)
  t.match(problemsOf(NEEDED, { ROOT_CA_DIR: 'b' }), /are both given/)
  t.match(problemsOf([...NEEDED, '--default-ttl', '91h', '--max-ttl', '90h']), /longer than --max-ttl/)
  t.match(problemsOf([...NEEDED, '--default-ttl', '2161h']), /longer than --max-ttl/)
  for (const [name, other] of [
    ['--default-ttl', '--max-ttl=1h'],
    ['--max-ttl', '--default-ttl=2161h'],
  ] as const)
    t.match(problemsOf([...NEEDED, name, 'soon', other]), /^wrong options:\n.*soon.*$/, 'what is wrong and no more')
  for (const listen of ['15012', 'ca:1', '[::1]', '127.0.0.1:70000', '[127.0.0.1', '300.0.0.1:1']) {
    t.match(problemsOf([...NEEDED, '--listen', listen]), /--listen/, listen)
  }
  t.equal(problemsOf([...NEEDED, '--listen', '127.0.0.1:0']), 'none')
})

void t.test('options that npm has kept to itself are named, with what to type', async (t) => {
  const kept = { npm_config_state_dir: 'true', npm_config_listen: '127.0.0.1:0', npm_config_cache: '/root/.npm' }
  t.match(problemsOf(NEEDED, kept), /before -- .*; type: npm run ca -- --listen … --state-dir …$/m)
  t.equal(problemsOf(NEEDED, { npm_config_cache: '/root/.npm', npm_config_loglevel: 'silent' }), 'none')
})

void t.test('the program: help, wrong options and what keeps it from running', async (t) => {
  const directory = await temporaryDirectory(t)
  const help = start(t, ['--help'])
  t.equal(await help.ended, 0)
  t.equal(help.output(), caUsage())
  const wrong = start(t, ['--bogus'])
  t.equal(await wrong.ended, 2)
  t.match(wrong.output(), /unknown option --bogus/)

  const [state, authorizer] = [join(directory, 'state'), join(directory, 'authorizer.yaml')]
  await mkdir(state)
  await chmod(state, 0o755)
  await writeFile(authorizer, 'nodes:\n  - {name: a}\n')
  const broken = start(t, ['--state-dir', state, '--authorizer', authorizer])
  t.equal(await broken.ended, 2)
  t.match(broken.output(), /state has mode 0755/)
  t.match(
    broken.output(),
    /authorizer.yaml cannot be used: 2:5 nodes\[0\]: give exactly one of token/,
    'both are reported together',
  )

  const fresh = join(directory, 'fresh')
  const early = start(t, ['--state-dir', fresh, '--authorizer', authorizer])
  t.equal(await early.ended, 2)
  await t.rejects(stat(fresh), { code: 'ENOENT' }, 'a CA that does not run makes no root')

  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const bound = taken.address()
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0
  await chmod(state, 0o700)
  await writeFile(authorizer, 'nodes: []')
  const second = start(t, ['--state-dir', state, '--authorizer', authorizer, '--listen', `127.0.0.1:${port}`])
  t.equal(await second.ended, 1)
  t.match(
    second.output(),
    new RegExp(
      `The CA cannot listen \\(--listen\\): .*EADDRINUSE.*127.0.0.1:${port} \\(another one runs\\? see: ss -ltnp 'sport = :${port}'\\)`,
    ),
  )
  taken.close()
})

void t.test('files that cannot be used are named, with exit code 2', async (t) => {
  const directory = await temporaryDirectory(t)
  const at = (name: string): string => join(directory, name)
  await writeFile(at('authorizer.yaml'), 'nodes: []')
  await mkdir(at('garbage/root'), { recursive: true, mode: 0o700 })
  for (const name of ['ca-cert.pem', 'root-cert.pem', 'ca-key.pem'])
    await writeFile(at(`garbage/root/${name}`), 'garbage', { mode: 0o600 })
  const made = ['--state-dir', at('state'), '--authorizer', at('authorizer.yaml')]
  for (const [words, why] of [
    [['--state-dir', at('authorizer.yaml'), '--authorizer', at('authorizer.yaml')], /authorizer\.yaml is no directory/],
    [
      ['--state-dir', at('authorizer.yaml/x'), '--authorizer', at('authorizer.yaml')],
      /authorizer\.yaml\/x is no directory/,
    ],
    [['--state-dir', at('garbage'), '--authorizer', at('authorizer.yaml')], /root\/ca-cert\.pem holds no certificate/],
    [
      ['--state-dir', at('state'), '--authorizer', at('none.yaml')],
      /The authorizer file .*none\.yaml cannot be read: there is no such file/,
    ],
    [[...made, '--write-root', at('none/root.pem')], /written to .*none\/root\.pem: there is no such directory\n/],
    [[...made, '--write-root', directory], /cannot be written to \S+: it is a directory\n/],
    [['--cacerts', at('none'), '--authorizer', at('authorizer.yaml')], /There is no directory \S+none\.\n/],
    [
      ['--cacerts', directory, '--authorizer', at('authorizer.yaml')],
      /holds neither ca-cert\.pem .* nor tls\.crt \(with tls\.key and ca\.crt\)\./,
    ],
  ] as const) {
    const run = start(t, [...words])
    t.equal(await run.ended, 2, String(why))
    t.match(run.output(), why)
  }
})

void t.test('the program: serves, reloads, ends at SIGTERM, and keeps its root', async (t) => {
  const directory = await temporaryDirectory(t)
  const [authorizer, root] = [join(directory, 'authorizer.yaml'), join(directory, 'root.pem')]
  await writeFile(authorizer, `nodes: [{name: a, token: ${NODE_TOKEN}, serviceAccounts: [default/client]}]`)
  const words = ['--authorizer', authorizer, '--listen', '127.0.0.1:0', '--write-root', root]
  const fetchFrom = async (address: string): Promise<readonly string[]> => {
    const options = {
      address,
      roots: root,
      token: { value: NODE_TOKEN },
      clusterId: 'Kubernetes',
      secretTtlMs: 3_600_000,
    }
    const client = createCaClient({ ...options, impersonate: true, clock: systemClock, log: silentLog })
    try {
      return (await client.fetch(id, new AbortController().signal)).rootsPem
    } finally {
      client.close()
    }
  }

  const own = [...words, '--state-dir', join(directory, 'state')]
  const first = start(t, own)
  const serving = await ready(first)
  first.child.kill('SIGUSR1')
  const roots = await fetchFrom(serving)
  t.same(roots, splitPem(await readFile(root, 'utf8')))
  t.equal((await stat(root)).mode & 0o777, 0o644)
  first.child.kill('SIGTERM')
  t.equal(await first.ended, 0)
  t.match(first.output(), /stopping/)
  t.notMatch(first.output(), /Debugger/, 'SIGUSR1 opens nothing')
  t.match(first.output(), /ready: .* trustDomain="?cluster.local/)
  const again = start(t, [...own, '--log-format', 'json'])
  t.same(await fetchFrom(await ready(again)), roots, 'the same root after a restart')
  again.child.kill('SIGINT')
  t.equal(await again.ended, 0)

  const imported = join(directory, 'cacerts')
  await mkdir(imported)
  const [old, fresh] = [newAuthority('old'), newAuthority('fresh')]
  await writeAuthority(imported, old, { rootsPem: old.pem })
  const third = start(t, [...words, '--cacerts', imported])
  const address = await ready(third)
  t.same(await fetchFrom(address), splitPem(old.pem))
  await writeAuthority(imported, old, { rootsPem: old.pem + fresh.pem })
  await eventually(async () => splitPem(await readFile(root, 'utf8')).length === 2)
  t.equal((await fetchFrom(address)).length, 2, 'the bundle is handed out whole')
  third.child.kill('SIGTERM')
  t.equal(await third.ended, 0)
})

void t.test('the program: ends in order though nobody reads its log', async (t) => {
  const directory = await temporaryDirectory(t)
  const [authorizer, root] = [join(directory, 'authorizer.yaml'), join(directory, 'root.pem')]
  await writeFile(authorizer, 'nodes: []')
  const words = ['--authorizer', authorizer, '--listen', '127.0.0.1:0', '--write-root', root, '--state-dir', directory]
  // The socket is full before the first line.
  const script = 'dd if=/dev/zero bs=1 count=1000000 >&2 & sleep 1; exec "$@"'
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, MAIN, ...words], { stdio: 'pipe' })
  t.teardown(() => {
    child.kill('SIGKILL')
    child.stderr.destroy()
  })
  await eventually(async () => (await readFile(root, 'utf8').catch(() => '')) !== '')
  // It listens, and says so, when the root is written.
  await setTimeout(500)
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
})

const isRoot = process.getuid?.() === 0
void t.test('the program: without room for its root it says so', { skip: !isRoot && 'not root' }, async (t) => {
  const directory = await temporaryDirectory(t)
  const authorizer = join(directory, 'authorizer.yaml')
  await writeFile(authorizer, `nodes: [{name: a, token: ${NODE_TOKEN}, serviceAccounts: [default/client]}]`)
  const disk = join(directory, 'disk')
  await mkdir(disk)
  // In a mount namespace of its own, which goes with the program.
  const script = 'mount -t tmpfs -o size=4k none "$1" && head -c 4096 /dev/zero > "$1/full" && shift && exec "$@"'
  const words = [MAIN, '--authorizer', authorizer, '--listen', '127.0.0.1:0', '--state-dir', join(disk, 'ca')]
  const { status, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, 'sh', disk, process.execPath, ...words],
    { encoding: 'utf8' },
  )
  t.equal(stderr, `ca: The root cannot be written to --state-dir ${disk}/ca: the file system is full.\n`)
  t.equal(status, 2)
})
