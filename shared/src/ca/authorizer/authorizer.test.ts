import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { newFifo } from '../../config-file/fifo-fixture.ts'
import { FakeClock } from '../../clock/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { silentLog } from '../../log/index.ts'
import { eventually, keepingLog, temporaryDirectory, TRUST_DOMAIN } from '../ca-fixture.ts'
import { hashToken } from './authorizer-rules.ts'
import { FileAuthorizer } from './file-authorizer.ts'

const [A, B, C] = ['the-token-of-node-a', 'the-token-of-node-b', 'the-token-of-workload-c']
const GOOD = `
nodes:
  - name: a
    token: ${A}
    serviceAccounts: [default/client, default/server]
  - name: b
    tokenSha256: ${hashToken(B)}
    serviceAccounts:
      - shop/cart
  - {name: empty, token: the-token-of-nobody}
workloads:
  - serviceAccount: default/alone
    tokenFile: c.token
`

function impersonate(token: string, id: string): { token: string; clusterId: string; impersonated: SpiffeId } {
  return { token, clusterId: '', impersonated: SpiffeId.parse(id) }
}

function rulesFor(account: string): string {
  return `nodes: [{name: a, tokenFile: node.token, serviceAccounts: [${account}]}]`
}

void t.test('nodes impersonate exactly their service accounts, workloads are who they are', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'authorizer.yaml')
  await writeFile(path, GOOD)
  await writeFile(join(directory, 'c.token'), `${C}\n`)
  const clock = new FakeClock()
  const authorizer = await FileAuthorizer.open({ path, trustDomain: TRUST_DOMAIN, clock, log: silentLog })
  const allowed = [
    [A, 'spiffe://cluster.local/ns/default/sa/client'],
    [A, 'spiffe://cluster.local/ns/default/sa/server'],
    [B, 'spiffe://cluster.local/ns/shop/sa/cart'],
  ] as const
  for (const [token, id] of allowed) t.equal(String(await authorizer.authorize(impersonate(token, id))), id)
  const refused = [
    [A, 'spiffe://cluster.local/ns/shop/sa/cart'],
    [A, 'spiffe://cluster.local/ns/default/sa/'],
    [A, 'spiffe://evil.example/ns/default/sa/client'],
    [A, 'spiffe://cluster.local/ns/default/sa/Client'],
    [B, 'spiffe://cluster.local/ns/default/sa/client'],
    ['the-token-of-nobody', 'spiffe://cluster.local/ns/default/sa/client'],
    [C, 'spiffe://cluster.local/ns/default/sa/alone'],
    [C, 'spiffe://cluster.local/ns/default/sa/client'],
  ] as const
  for (const [token, id] of refused) {
    await t.rejects(authorizer.authorize(impersonate(token, id)), { code: 'impersonation-refused' }, `${token} ${id}`)
  }
  for (const token of [A, B, C, 'the-token-of-nobody']) await authorizer.authenticate({ token, clusterId: '' })
  t.equal(String(await authorizer.authorize({ token: C, clusterId: '' })), 'spiffe://cluster.local/ns/default/sa/alone')
  await t.rejects(
    authorizer.authorize({ token: A, clusterId: '' }),
    { code: 'unauthenticated' },
    'a node has no identity',
  )
  for (const token of [`${A}x`, A.slice(1), A.toUpperCase(), hashToken(B), `${C}\n`, '']) {
    await t.rejects(authorizer.authorize(impersonate(token, allowed[0][1])), { code: 'unauthenticated' }, token)
    await t.rejects(authorizer.authenticate({ token, clusterId: '' }), { code: 'unauthenticated' }, token)
  }
  authorizer.close()
  t.equal(clock.pendingTimers, 0)
})

void t.test('every mistake of a file is named with its line', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'authorizer.yaml')
  newFifo(t, join(directory, 'fifo'))
  const cases: [string, string, RegExp[]][] = [
    ['no YAML', 'nodes: [', [/1:9/]],
    ['empty', '', [/the file says nothing/]],
    ['a list', '- a', [/1:1 must be a mapping/]],
    ['a key twice', 'nodes: []\nnodes: []', [/2:1 nodes: is there twice/]],
    [
      'many',
      `nodes:
  - name: ''
    token: short
  - token: a-token-that-is-long-enough
    serviceAccounts: [a, b/c/d, /x, 'a b/c', ok/ok]
  - name: x
    token: a-token-that-is-long-enough
    serviceAccount: default/x
  - name: y
  - name: z
    tokenSha256: abc
  - text
workloads:
  - token: another-token-long-enough
nodse: []
`,
      [
        /2:11 nodes\[0\]\.name: must not be empty/,
        /3:12 nodes\[0\]\.token: a token must have 16 to/,
        /4:5 nodes\[1\]\.name: is required/,
        /5:23 nodes\[1\]\.serviceAccounts\[0\]: "a" is no service account/,
        /5:26 nodes\[1\]\.serviceAccounts\[1\]: "b\/c\/d" is no service account/,
        /5:33 nodes\[1\]\.serviceAccounts\[2\]: "\/x" is no/,
        /5:37 nodes\[1\]\.serviceAccounts\[3\]: "a b\/c" is no/,
        /8:5 nodes\[2\]\.serviceAccount: unknown key/,
        /9:5 nodes\[3\]: give exactly one of token, tokenSha256 and tokenFile/,
        /11:18 nodes\[4\]\.tokenSha256: must be 64/,
        /12:5 nodes\[5\]: must be a mapping/,
        /14:5 workloads\[0\]\.serviceAccount: is required/,
        /15:1 nodse: unknown key/,
      ],
    ],
    [
      'tokens',
      `nodes:
  - { name: a, token: a-token-that-is-long-enough }
  - { name: b, token: a-token-that-is-long-enough }
  - { name: c, tokenFile: none.token }
  - { name: d, tokenFile: fifo }
`,
      [
        /3:5 nodes\[1\]: its token is also that of an entry before it/,
        /4:27 nodes\[2\]\.tokenFile: the token file \/\S+\/none\.token cannot be read: there is no such file/,
        /5:27 nodes\[3\]\.tokenFile: the token file \/\S+\/fifo cannot be read: it is no regular file/,
      ],
    ],
    ['not a list', 'nodes: {a: b}', [/1:8 nodes: must be a list/]],
  ]
  for (const [what, text, reasons] of cases) {
    await writeFile(path, text)
    const opened = FileAuthorizer.open({ path, trustDomain: TRUST_DOMAIN, clock: new FakeClock(), log: silentLog })
    const error = await opened.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    t.match(error, { code: 'bad-authorizer' }, what)
    for (const reason of reasons) t.match(error, { message: reason }, what)
  }
  await t.rejects(
    FileAuthorizer.open({ path: '/dev/zero', trustDomain: TRUST_DOMAIN, clock: new FakeClock(), log: silentLog }),
    { code: 'bad-authorizer', message: /cannot be read: it is no regular file$/ },
  )
  await t.rejects(
    FileAuthorizer.open({
      path: join(directory, 'none'),
      trustDomain: TRUST_DOMAIN,
      clock: new FakeClock(),
      log: silentLog,
    }),
    { code: 'bad-authorizer', message: /cannot be read/ },
  )
})

void t.test('edits count without a restart, bad ones leave the old rules', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'authorizer.yaml')
  const tokenPath = join(directory, 'node.token')
  await writeFile(path, rulesFor('ns/a'))
  await writeFile(tokenPath, A)
  const clock = new FakeClock()
  const { log, lines } = keepingLog()
  const authorizer = await FileAuthorizer.open({ path, trustDomain: TRUST_DOMAIN, clock, log })
  const allows = async (token: string, name: string): Promise<boolean> => {
    const id = `spiffe://cluster.local/ns/ns/sa/${name}`
    return authorizer.authorize(impersonate(token, id)).then(
      () => true,
      () => false,
    )
  }
  const until = (condition: () => boolean | Promise<boolean>): Promise<void> =>
    eventually(async () => {
      await clock.advance(1_000)
      return condition()
    })
  t.ok(await allows(A, 'a'))
  await writeFile(path, rulesFor('ns/b'))
  await until(() => allows(A, 'b'))
  t.notOk(await allows(A, 'a'))
  await writeFile(path, 'nodes:\n  - oops')
  await until(() => lines.some((line) => line.startsWith('error')))
  t.match(
    lines.find((line) => line.startsWith('error')),
    /the old rules stay.*2:5 nodes\[0\]: must be a mapping/,
  )
  t.ok(await allows(A, 'b'))
  await writeFile(path, rulesFor('ns/c'))
  await until(() => allows(A, 'c'))
  await writeFile(tokenPath, B)
  await until(() => allows(B, 'c'))
  t.notOk(await allows(A, 'c'), 'a rotated token replaces the old one')
  authorizer.close()
  await until(() => clock.pendingTimers === 0)
})
