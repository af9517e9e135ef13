// Peers that are not ours at either end of a real proxy's tunnels: node:http2 with a certificate of the mesh's CA.
import { fileURLToPath } from 'node:url'
import type { Signer } from '@ambit/shared/certificates'
import t from 'tap'
import { authorityOf, eventually, issueCredentials, newAuthority, Talker, TestMesh, type Pod } from '../kit/index.ts'

const PEER = fileURLToPath(new URL('programs/foreign-peer.ts', import.meta.url))
const ECHO_PORT = 9_000
/** The first tunnel to it is lost. */
const LOST_PORT = 9_998
const CLOSED_PORT = 9_999
const BIG = 5_000_000

t.setTimeout(90_000)

/** Files with a key and a certificate for `identity`, under a signer. */
function issue(mesh: TestMesh, name: string, identity: string, signer: Signer): readonly [string, string] {
  const { key, chain } = issueCredentials(mesh.files, name, identity, signer)
  return [key, chain]
}

/** What a foreign peer tells, one line of JSON each. */
interface Answer {
  readonly status?: number
  readonly count?: number
  readonly isSame?: boolean
  readonly goaway?: number
  readonly error?: string
  readonly peer?: string
  readonly headers?: Readonly<Record<string, string>>
}

function lines(output: string): readonly Answer[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line): Answer => JSON.parse(line))
}

async function ask(
  pod: Pod,
  files: readonly [string, string],
  ...words: readonly string[]
): Promise<readonly Answer[]> {
  const { stdout } = await pod.run([process.execPath, PEER, ...files, 'ask', ...words])
  return lines(stdout)
}

void t.test('foreign peers in a mesh', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const client = await node.pod('client')
    const foreign = await node.pod('foreign', { protocol: 'TCP' })
    const server = await node.pod('server', { policies: ['default/not-mallory'] })
    mesh.policies.push({
      name: 'not-mallory',
      namespace: 'default',
      scope: 'WorkloadSelector',
      action: 'Deny',
      dryRun: false,
      rules: [[[{ principals: [{ Exact: 'cluster.local/ns/default/sa/mallory' }] }]]],
    })
    await (await Talker.start(server)).listen(ECHO_PORT, { echo: true })
    const here = await Talker.start(client)
    await mesh.up()
    const ca = authorityOf(mesh.files)
    const honest = issue(mesh, 'foreign', foreign.identity, ca)

    await t.test(
      'node:http2 as client: tunnels one after the other on one connection, every byte the same',
      async (t) => {
        const before = await node.proxy.metric('istio_tcp_connections_opened_total', { reporter: 'destination' })
        const target = `${server.v4}:${ECHO_PORT}`
        const answers = await ask(foreign, honest, server.v4, `${target},${target},${target}`, String(BIG))
        t.same(
          answers,
          Array.from({ length: 3 }, () => ({ status: 200, count: BIG, isSame: true, code: 0 })),
        )
        t.match(await node.proxy.access({ 'src.identity': foreign.identity, message: 'connection complete' }), {
          level: 'info',
          direction: 'inbound',
          'dst.addr': `${server.v4}:15008`,
          'dst.hbone_addr': target,
          bytes_sent: BIG,
          bytes_recv: BIG,
        })
        await eventually('three are counted', async () => {
          const now = await node.proxy.metric('istio_tcp_connections_opened_total', { reporter: 'destination' })
          return now - before === 3
        })
        const [v6] = await ask(foreign, honest, server.v6, `[${server.v6}]:${ECHO_PORT}`, '1000')
        t.match(v6, { status: 200, count: 1000, isSame: true }, 'IPv6')
      },
    )

    await t.test("what is refused has Istio's status, and the tunnels that follow are served", async (t) => {
      const good = `${server.v4}:${ECHO_PORT}`
      const targets = [
        `${client.v4}:${ECHO_PORT}`,
        `${server.v4}:${CLOSED_PORT}`,
        'nonsense',
        `${server.v4}:15001`,
        good,
      ]
      const answers = await ask(foreign, honest, server.v4, targets.join(','), '100000')
      t.same(
        answers.map(({ status }) => status),
        [400, 503, 400, 503, 200],
      )
      t.match(answers.at(-1), { count: 100_000, isSame: true })
      const gets = await ask(foreign, honest, server.v4, `${good},${good}`, '0', 'GET')
      t.same(
        gets.map(({ status }) => status),
        [400, 400],
      )
      const line = await node.proxy.access({ message: 'connection failed', error: 'expected method CONNECT, got GET' })
      t.match(line, { level: 'warn', direction: 'inbound' })
    })

    await t.test(
      'who a policy refuses is told 401; who has no certificate of this mesh does not come in',
      async (t) => {
        const target = `${server.v4}:${ECHO_PORT}`
        const mallory = issue(mesh, 'mallory', 'spiffe://cluster.local/ns/default/sa/mallory', ca)
        t.match(await ask(foreign, mallory, server.v4, target, '10'), [{ status: 401, count: 0 }])
        t.match(await node.proxy.access({ 'src.identity': 'spiffe://cluster.local/ns/default/sa/mallory' }), {
          level: 'error',
          error: /policy rejection.*not-mallory/,
        })
        for (const [name, files] of [
          ['an authority of the same name', issue(mesh, 'other', foreign.identity, newAuthority('cluster.local'))],
          ['another trust domain', issue(mesh, 'abroad', 'spiffe://elsewhere/ns/default/sa/foreign', ca)],
        ] as const) {
          const answers = await ask(foreign, files, server.v4, target, '10')
          t.ok(
            answers.length > 0 && answers.every(({ status }) => status === undefined),
            `${name}: ${JSON.stringify(answers)}`,
          )
        }
      },
    )

    await t.test('a peer may call itself what it likes only where the mesh does not know it', async (t) => {
      const target = `${server.v4}:${ECHO_PORT}`
      const claims = {
        baggage: 'k8s.deployment.name=bank,k8s.namespace.name=vault,service.name=bank',
        'x-forwarded-network': 'elsewhere',
      }
      const words = ['ask', server.v4, target, '4321', 'CONNECT', JSON.stringify(claims)]
      await foreign.must([process.execPath, PEER, ...honest, ...words])
      const known = await node.proxy.access({ 'src.identity': foreign.identity, bytes_recv: 4321 })
      t.match(known, { 'src.workload': 'foreign', 'src.namespace': 'default' }, 'the record of its address counts')
      const stranger = issue(mesh, 'stranger', 'spiffe://cluster.local/ns/default/sa/stranger', ca)
      const labels = { source_workload: 'bank', source_workload_namespace: 'vault' }
      t.equal(await node.proxy.metric('istio_tcp_connections_opened_total', labels), 0)
      await mesh.start('stranger', [process.execPath, PEER, ...stranger, ...words]).exited
      const identity = 'spiffe://cluster.local/ns/default/sa/stranger'
      t.match(await node.proxy.access({ 'src.identity': identity, bytes_recv: 4321 }), {
        'src.workload': 'bank',
        'src.namespace': 'vault',
      })
      const certified = { ...labels, source_principal: identity }
      t.equal(await node.proxy.metric('istio_tcp_connections_opened_total', certified), 1)
      t.equal(await node.proxy.metric('istio_tcp_connections_opened_total', labels), 1, 'and under no other name')
    })

    await t.test('nghttp is refused request by request', async (t) => {
      const [key, certificate] = honest
      const nghttp = ['nghttp', '-n', '-s', '-m', '4', `--key=${key}`, `--cert=${certificate}`]
      const { stdout, stderr } = await foreign.run([...nghttp, `https://${server.v4}:15008/`])
      if (/exec of "?nghttp/.test(stderr))
        t.pass('nghttp', { skip: 'nghttp is not installed (Debian: nghttp2-client)' })
      else t.equal(stdout.match(/ 400 /g)?.length, 4, `${stdout}${stderr}`)
    })

    await t.test('node:http2 as server: our proxy opens tunnels to it, and knows it by its certificate', async (t) => {
      foreign.record['protocol'] = 'HBONE'
      mesh.save()
      const peer = foreign.start('server', [process.execPath, PEER, ...honest, 'serve', '15008'])
      await peer.says(/listening/)
      await eventually(
        'the client reaches it by HBONE',
        async () => {
          here.open('first', foreign.v4, ECHO_PORT)
          here.say('first', 'anybody')
          return /":method":"CONNECT"/.test(peer.output)
        },
        300,
      )
      const bytes = 3_000_000
      here.open('big', foreign.v4, ECHO_PORT)
      await here.heard('big', /connected/)
      here.pour('big', bytes)
      const poured = await here.heard('big', /^poured/)
      here.end('big')
      t.equal((await here.heard('big', /^ended/)).replace('ended', 'poured'), poured, 'every byte came back')
      const heard = lines(peer.output)
      t.same(new Set(heard.flatMap((line) => line.peer ?? [])), new Set([`URI:${client.identity}`]))
      const headers = heard.find((line) => line.headers)?.headers ?? {}
      t.match(headers, {
        ':method': 'CONNECT',
        ':authority': `${foreign.v4}:${ECHO_PORT}`,
        forwarded: new RegExp(`^for="${client.v4}:\\d+"$`),
        baggage: /k8s.namespace.name=default/,
      })
      t.notOk(':scheme' in headers || ':path' in headers || ':protocol' in headers, 'a plain CONNECT')
      here.open('closed', foreign.v4, CLOSED_PORT)
      await here.heard('closed', /^(closed|error)/)
      t.match(await node.proxy.access({ 'dst.hbone_addr': `${foreign.v4}:${CLOSED_PORT}` }), {
        level: 'error',
        error: /503/,
      })
    })

    await t.test('a tunnel that is lost before it answered is opened once more', async (t) => {
      here.open('lost', foreign.v4, LOST_PORT)
      await here.heard('lost', /connected/)
      await here.echoes('lost', 'after all')
      await node.proxy.access({ message: 'tunnel lost, trying again', 'dst.addr': `${foreign.v4}:15008` })
      here.end('lost')
      await here.heard('lost', /^ended/)
      t.match(await node.proxy.access({ 'dst.hbone_addr': `${foreign.v4}:${LOST_PORT}` }), { level: 'info' })
    })

    await t.test('a server with another name gets no bytes', async (t) => {
      const stranger = await node.pod('stranger', { protocol: 'TCP' })
      stranger.record['protocol'] = 'HBONE'
      mesh.save()
      await eventually('the stranger is known', async () => {
        return (await node.proxy.get(15_000, '/config_dump')).includes('"stranger"')
      })
      const peer = stranger.start('server', [process.execPath, PEER, ...honest, 'serve', '15008'])
      await peer.says(/listening/)
      here.open('stranger', stranger.v4, ECHO_PORT)
      await here.heard('stranger', /^(closed|error)/)
      t.notMatch(peer.output, /CONNECT/)
      t.match(await node.proxy.access({ message: 'connection complete', 'dst.workload': 'stranger' }), {
        level: 'error',
        'dst.addr': `${stranger.v4}:15008`,
        error: /./,
      })
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})
