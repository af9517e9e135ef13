// What the README says of variables, options and files is what the code knows.
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { describeVariables } from '../ztunnel/src/config/index.ts'
import { readAuthorizerFile } from '../shared/src/ca/authorizer/read-authorizer-file.ts'
import { parseLocalFile } from '../shared/src/mesh/local/local-file.ts'
import { parsePodsFile } from '../ztunnel/src/pods-file/index.ts'
import { command, must } from './kit/index.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const DOCUMENTS = [
  'README',
  'ARCHITECTURE',
  'LIMITS',
  'SECURITY',
  'CONTRIBUTING',
  'test/README',
  'waypoint/README',
  'deploy/README',
]

function text(document: string): string {
  return readFileSync(`${root}${document}.md`, 'utf8')
}

void t.test('the README has every variable of ztunnel, with its default', async (t) => {
  const rows = text('README')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  for (const { name, fallback } of describeVariables()) {
    const row = rows.find((line) => line.split('|')[1]?.includes(`\`${name}\``))
    t.ok(row, name)
    if (/^[\w.:/]+$/.test(fallback)) t.ok(row?.includes(`\`${fallback}\``), `${name}: ${fallback}`)
  }
})

void t.test('ztunnel reads every variable that the README has', async (t) => {
  const known = new Set(describeVariables().map(({ name }) => name))
  // A row of the CA's begins with an option.
  const named = text('README').match(/^\| `[A-Z][^|]+/gm) ?? []
  t.ok(named.length > 30)
  for (const row of named) for (const [, name = ''] of row.matchAll(/`([^`]+)`/g)) t.ok(known.has(name), name)
})

void t.test('both documents ask for the same capabilities', async (t) => {
  const [, named = ''] = /with the capabilities\s([A-Z_,\s]+)\)/.exec(text('README')) ?? []
  const needed = [...text('deploy/README').matchAll(/^\| CAP_([A-Z_]+) \|/gm)].map(([, name]) => name)
  t.ok(needed.length > 0)
  t.same(new Set(named.split(/,\s/)), new Set(needed))
})

void t.test('the README has the options of the CA, with their variables and defaults, and no others', async (t) => {
  const { stdout } = await command([process.execPath, `${root}shared/src/ca/main.ts`, '--help'])
  const rows = text('README').match(/^\| `--.+/gm) ?? []
  const options = [...stdout.matchAll(/^ {2}(--\S+ \S+) +([A-Z_]+) .*?(?: \[(.+)\])?$/gm)]
  t.ok(options.length > 10)
  t.equal(rows.length, options.length)
  for (const [, option = '', variable = '', fallback = ''] of options) {
    const [, first = '', second = '', , last = ''] =
      rows.find((row) => row.includes(`| \`${option}\` |`))?.split('|') ?? []
    t.equal(first.trim(), `\`${option}\``)
    t.equal(second.trim(), `\`${variable}\``, option)
    if (fallback !== '') t.ok(last.includes(`\`${fallback}\``), `${option}: ${fallback}`)
  }
})

void t.test('everything that a room offers has a docstring', async (t) => {
  const rooms = globSync('{shared,ztunnel,test}/**/index.ts', { cwd: root, exclude: ['**/node_modules/**'] })
  t.ok(rooms.length > 20)
  for (const room of rooms) {
    const offers = readFileSync(`${root}${room}`, 'utf8').matchAll(/^export (?:type )?\{([^}]+)\} from '(.+)'/gm)
    for (const [, names = '', file = ''] of offers) {
      const source = readFileSync(join(root, room, '..', file), 'utf8')
      for (const name of names.split(',').map((one) => one.replace(/\btype\b/, '').trim())) {
        const said = new RegExp(`\\*/\n(?:export (?:\\w+ )*${name}\\b)`)
        if (name !== '' && !file.endsWith('/index.ts')) t.ok(said.test(source), `${name} of ${file}`)
      }
    }
  }
})

void t.test('the authorizer file of the README can be used after what it says before', async (t) => {
  const readme = text('README')
  const [, tokens = ''] = /`([^`\n]*openssl rand[^`\n]*)`/.exec(readme) ?? []
  const [, rules = ''] = /```yaml\n(nodes:[^`]*)```/.exec(readme) ?? []
  const directory = mkdtempSync(join(tmpdir(), 'ambit-docs-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  await must(['sh', '-c', `cd ${directory} && ${tokens}`])
  writeFileSync(join(directory, 'authorizer.yaml'), rules)
  const { outcome } = await readAuthorizerFile(join(directory, 'authorizer.yaml'))
  t.equal('error' in outcome ? outcome.error.message : outcome.rules.size, 2)
})

void t.test('the mesh and the pods of the README can be read, and metrics have names for them', async (t) => {
  const readme = text('README')
  const [, mesh = ''] = /```yaml\n(workloads:[^]*?)```/.exec(readme) ?? []
  const [, pods = ''] = /```yaml\n(pods:[^]*?)```/.exec(readme) ?? []
  const workloads = parseLocalFile(mesh).flatMap(({ kind, value }) => (kind === 'workload' ? [value] : []))
  t.match(workloads, [
    { workloadName: 'client', canonicalName: 'client' },
    { workloadName: 'server', canonicalName: 'server' },
  ])
  for (const pod of parsePodsFile(pods))
    t.ok(
      workloads.some(
        ({ namespace, name, serviceAccount }) =>
          namespace === pod.namespace && name === pod.name && serviceAccount === pod.serviceAccount,
      ),
      pod.name,
    )
})

void t.test('what the README has its reader write in the checkout is no change of it', async (t) => {
  const ignored = new Set(readFileSync(`${root}.gitignore`, 'utf8').split('\n'))
  const files = [...text('README').matchAll(/[=\s](?:\.\/)?([\w-]+\.(?:yaml|token|pem))\b/g)].map(
    ([, file = '']) => file,
  )
  t.ok(files.includes('mesh.yaml') && files.includes('authorizer.yaml'))
  for (const file of files) t.ok(ignored.has(`/${file}`) || ignored.has(file.replace(/^[^.]+/, '*')), file)
})

void t.test('every link and every file or folder that a document names is there', async (t) => {
  const paths = globSync('{shared,ztunnel,waypoint,test,deploy}/**', { cwd: root, exclude: ['**/node_modules/**'] })
  for (const document of DOCUMENTS) {
    const folder = document.includes('/') ? `${root}${document.split('/')[0]}/` : root
    for (const [, link = ''] of text(document).matchAll(/\]\(([^)#]+)\)/g))
      if (!link.includes('://')) t.ok(existsSync(`${folder}${link}`), `${document}: ${link}`)
    // By the end of its path, as a text about one package names it.
    for (const [, name = ''] of text(document).matchAll(
      /`((?:shared|ztunnel|test)\/[\w./-]+|\w[\w./-]*(?:\.ts|\.mjs|\/))`/g,
    )) {
      const end = `/${name.replace(/\/$/, '')}`
      t.ok(
        paths.some((path) => `/${path}`.endsWith(end)),
        `${document}: ${name}`,
      )
    }
  }
})
