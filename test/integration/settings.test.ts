// Variables whose effect only others see: that they come through to the workers and to the wire.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { authorityOf, eventually, issueCredentials, Talker, TestMesh, type Pod } from '../kit/index.ts'

const CLIENT = fileURLToPath(new URL('programs/hbone-client.ts', import.meta.url))
const ECHO_PORT = 9_000
/** As node:http2 offers them by itself, and without the post-quantum one. */
const GROUPS = 'X25519MLKEM768:X25519'
const CLASSIC = 'X25519'

t.setTimeout(90_000)

void t.test('settings of a proxy', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const client = await a.pod('client')
    const server = await b.pod('server')
    const foreign = await a.pod('foreign', { protocol: 'TCP' })
    mesh.policies.push({
      name: 'all',
      namespace: 'default',
      scope: 'Global',
      action: 'Allow',
      dryRun: false,
      rules: [[[{ destinationPorts: [ECHO_PORT] }]]],
    })
    const here = await Talker.start(client)
    await here.listen(ECHO_PORT, { echo: true })
    await (await Talker.start(server)).listen(ECHO_PORT, { echo: true })
    await mesh.startCa()
    await mesh.startZtunnel(a, { POOL_MAX_STREAMS_PER_CONNECTION: '2', POOL_UNUSED_RELEASE_TIMEOUT: '1s' })
    await mesh.startZtunnel(b, {
      HTTP2_STREAM_WINDOW_SIZE: '131072',
      HTTP2_CONNECTION_WINDOW_SIZE: '262144',
      HTTP2_FRAME_SIZE: '32768',
      COMPLIANCE_POLICY: 'pqc',
      ENABLE_RESPONSE_BAGGAGE: 'false',
      AUTHZ_POLICY_INFO_LOGGING: 'true',
      IPV6_ENABLED: 'false',
      ISTIO_META_ISTIO_VERSION: '1.2.3-test',
    })
    await mesh.enrol([client, server])
    const { key, chain } = issueCredentials(mesh.files, 'foreign', foreign.identity, authorityOf(mesh.files))

    /** What the proxy of a pod tells a foreign client. */
    const told = async (pod: Pod, groups: string): Promise<unknown> => {
      const words = [process.execPath, CLIENT, key, chain, pod.v4, `${pod.v4}:${ECHO_PORT}`, groups]
      const { stdout } = await foreign.run(words)
      return JSON.parse(stdout.split('\n')[0] ?? '') as unknown
    }

    /** Connections of the client's proxy to the server's. */
    const tunnelConnections = async (): Promise<number> => {
      const words = ['ss', '-Htn', 'state', 'established', 'dst', server.v4, 'dport', '=', ':15008']
      return (await client.must(words)).split('\n').filter(Boolean).length
    }

    await t.test('windows, the largest frame and response baggage', async (t) => {
      t.match(await told(client, GROUPS), {
        status: 200,
        baggage: /k8s\.deployment\.name=client/,
        initialWindowSize: 4_194_304,
        maxFrameSize: 1_048_576,
        connectionWindow: 16_777_216,
      })
      const set = { status: 200, initialWindowSize: 131_072, maxFrameSize: 32_768, connectionWindow: 262_144 }
      t.same(await told(server, GROUPS), set)
    })

    await t.test('no handshake without the post-quantum group', async (t) => {
      t.match(await told(client, CLASSIC), { status: 200 })
      t.match(await told(server, CLASSIC), { error: /handshake failure/ })
    })

    await t.test('streams of a pooled connection, and how long it stays unused', async (t) => {
      const names = ['1', '2', '3', '4', '5'].map((number) => `kept${number}`)
      for (const name of names) here.open(name, server.v4, ECHO_PORT)
      await Promise.all(names.map((name) => here.echoes(name, 'here')))
      t.ok((await tunnelConnections()) >= 3, 'two streams on each')
      for (const name of names) here.end(name)
      await eventually('none is left', async () => (await tunnelConnections()) === 0)
      t.pass('they are closed, which else takes five minutes')
    })

    await t.test('decisions of policy are told at info', async (t) => {
      t.match(await b.proxy.access({ message: 'allow policy match' }), { level: 'info', policy: 'default/all' })
      t.notOk(a.proxy.logged({ message: 'allow policy match' }), 'else at debug')
    })

    await t.test('a log level that is changed reaches the workers', async (t) => {
      t.notOk(a.proxy.logged({ message: 'connection opened' }))
      await a.proxy.get(15_000, '/logging?level=debug', ['-X', 'POST'])
      here.open('told', server.v4, ECHO_PORT)
      await here.echoes('told', 'here')
      t.match(await a.proxy.access({ message: 'connection opened' }), { level: 'debug', direction: 'outbound' })
      here.end('told')
    })

    await t.test('no listeners for IPv6, and the version in a metric', async (t) => {
      const words = ['ss', '-Hltn6', 'sport', '>=', ':15000']
      t.match(await client.must(words), ':15008')
      t.equal(await server.must(words), '')
      t.equal(await b.proxy.metric('istio_build', { tag: '1.2.3-test' }), 1)
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})
