// Envoy as the client of our proxy: its tcp_proxy opens tunnels to the 15008 of a captured pod.
import t from 'tap'
import {
  authorityOf,
  eventually,
  issueCredentials,
  newAuthority,
  Talker,
  TestMesh,
  type CredentialFiles,
} from '../kit/index.ts'
import { envoyClient } from './configuration.ts'
import { Envoy } from './envoy.ts'
import { pour, type End } from './pour.ts'

const HBONE_PORT = 15_008
const ECHO_PORT = 9_000
/** Nothing is answered but what the test says. */
const QUIET_PORT = 9_001
const CLOSED_PORT = 9_998
const PORTS = [ECHO_PORT, QUIET_PORT, CLOSED_PORT]
const BIG = 5_000_000
const SEVERAL = 8
const LOCAL = '127.0.0.1'
const MALLORY = 'spiffe://cluster.local/ns/default/sa/mallory'
const ACCESS_LOG = {
  server: '%UPSTREAM_PEER_URI_SAN%',
  port: '%DOWNSTREAM_LOCAL_PORT%',
  failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  received: '%BYTES_RECEIVED%',
  sent: '%BYTES_SENT%',
}
/** What a connection that is refused hears: an end with nothing before it, or a reset where it had something to say. */
const CLOSED = /^(ended 0|error|closed)/

t.setTimeout(90_000)

/** The only one who may connect, as it is written in the mesh's file. */
function only(identity: string): Readonly<Record<string, unknown>> {
  return {
    name: 'friends',
    namespace: 'default',
    scope: 'WorkloadSelector',
    action: 'Allow',
    dryRun: false,
    rules: [[[{ principals: [{ Exact: identity.replace('spiffe://', '') }] }]]],
  }
}

void t.test('Envoy as client', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const foreign = await node.pod('foreign', { protocol: 'TCP' })
    const server = await node.pod('server', { policies: ['default/friends'] })
    mesh.policies.push(only(foreign.identity))
    const application = await Talker.start(server)
    await application.listen(ECHO_PORT, { echo: true })
    await application.listen(QUIET_PORT)
    const here = await Talker.start(foreign)
    await mesh.up()
    const ca = authorityOf(mesh.files)

    /** An Envoy whose ports are the applications', moved by so much. */
    function startEnvoy(offset: number, credentials: CredentialFiles): Promise<Envoy> {
      const configuration = envoyClient({
        listenHost: LOCAL,
        peer: { host: server.v4, port: HBONE_PORT },
        targetHost: server.v4,
        ports: PORTS.map((port) => [port + offset, port] as const),
        credentials,
        peerIdentity: server.identity,
        accessLog: ACCESS_LOG,
      })
      return Envoy.start(mesh, foreign, configuration, offset)
    }

    const [OWN, MALLORYS, STRANGERS] = [1_000, 2_000, 3_000]
    const honest = issueCredentials(mesh.files, 'foreign', foreign.identity, ca)
    const envoy = await startEnvoy(OWN, honest)

    await t.test('bytes are the same in both directions, and either side knows the other', async (t) => {
      here.open('big', LOCAL, OWN + ECHO_PORT)
      await here.heard('big', /^connected/)
      const [sent, received] = await pour([here, 'big'], [here, 'big'], BIG)
      t.equal(received, sent)
      t.match(await envoy.access({ port: OWN + ECHO_PORT }), { server: server.identity, received: BIG, sent: BIG })
      const hboneAddress = `${server.v4}:${ECHO_PORT}`
      t.match(await node.proxy.access({ message: 'connection complete', 'dst.hbone_addr': hboneAddress }), {
        level: 'info',
        direction: 'inbound',
        'src.workload': 'foreign',
        'src.identity': foreign.identity,
        'dst.workload': 'server',
        'dst.addr': `${server.v4}:${HBONE_PORT}`,
        bytes_sent: BIG,
        bytes_recv: BIG,
      })
    })

    for (const first of ['client', 'server'] as const) {
      await t.test(`the ${first} ends its half and the other side goes on`, async (t) => {
        const before = application.acceptances
        here.open(first, LOCAL, OWN + QUIET_PORT)
        const there = await application.accepted(QUIET_PORT, before)
        const [client, behind]: readonly [End, End] = [
          [here, first],
          [application, there],
        ]
        const [one, two] = first === 'client' ? [client, behind] : [behind, client]
        for (const [from, to] of [
          [one, two],
          [two, one],
        ] as const) {
          const [sent, received] = await pour(from, to, BIG)
          t.equal(received, sent)
        }
      })
    }

    await t.test('several tunnels at once, all on one connection', async (t) => {
      const labels = { reporter: 'destination', source_principal: foreign.identity }
      const before = await node.proxy.metric('istio_tcp_connections_opened_total', labels)
      const names = Array.from({ length: SEVERAL }, (_, at) => `one-of-several-${at}`)
      for (const name of names) here.open(name, LOCAL, OWN + ECHO_PORT)
      for (const name of names) await here.echoes(name, `hello-from-${name}`)
      await eventually('all are open, and nothing else', async () => {
        return (await envoy.stat('cluster.hbone.http2.streams_active')) === SEVERAL
      })
      await Promise.all(
        names.map(async (name) => {
          here.end(name)
          t.match(await here.heard(name, /^(ended|error)/), /^ended/)
        }),
      )
      t.equal(await envoy.stat('cluster.hbone.upstream_cx_total'), 1, 'everything so far went over one connection')
      await eventually('each is counted', async () => {
        return (await node.proxy.metric('istio_tcp_connections_opened_total', labels)) - before === SEVERAL
      })
    })

    await t.test('an application that is away is 503 and costs nobody else anything', async (t) => {
      here.open('steady', LOCAL, OWN + ECHO_PORT)
      await here.echoes('steady', 'before')
      here.open('closed', LOCAL, OWN + CLOSED_PORT)
      await here.heard('closed', CLOSED)
      t.match(await envoy.access({ port: OWN + CLOSED_PORT }), { failure: 'tunnel_response:503' })
      t.match(await node.proxy.access({ 'dst.hbone_addr': `${server.v4}:${CLOSED_PORT}` }), { level: 'error' })
      await here.echoes('steady', 'after')
      here.end('steady')
      t.match(await here.heard('steady', /^(ended|error)/), /^ended/)
      t.equal(await envoy.stat('cluster.hbone.upstream_cx_total'), 1)
    })

    await t.test('who a policy refuses is told 401, and the application hears nothing', async (t) => {
      const before = application.acceptances
      const mallory = await startEnvoy(MALLORYS, issueCredentials(mesh.files, 'mallory', MALLORY, ca))
      here.open('mallory', LOCAL, MALLORYS + ECHO_PORT)
      here.say('mallory', 'secret')
      await here.heard('mallory', CLOSED)
      t.match(await mallory.access({ port: MALLORYS + ECHO_PORT }), { failure: 'tunnel_response:401', sent: 0 })
      t.match(await node.proxy.access({ 'src.identity': MALLORY }), {
        level: 'error',
        'dst.hbone_addr': `${server.v4}:${ECHO_PORT}`,
        error: /policy rejection/,
      })
      t.same(application.acceptances, before)
    })

    await t.test('a certificate of an authority that the mesh does not know does not come in', async (t) => {
      const before = application.acceptances
      const forged = issueCredentials(mesh.files, 'forged', foreign.identity, newAuthority('cluster.local'))
      const stranger = await startEnvoy(STRANGERS, { ...forged, root: honest.root })
      here.open('stranger', LOCAL, STRANGERS + ECHO_PORT)
      here.say('stranger', 'secret')
      await here.heard('stranger', CLOSED)
      t.match(await node.proxy.access({ message: 'connection failed', 'dst.addr': `${server.v4}:${HBONE_PORT}` }), {
        level: 'warn',
        direction: 'inbound',
        error: /does not chain to a root of ours/,
      })
      t.equal(await stranger.stat('cluster.hbone.upstream_cx_total'), 1)
      t.equal(await stranger.stat('cluster.hbone.upstream_cx_rx_bytes_total'), 0, 'it was told nothing')
      t.same(application.acceptances, before)
    })

    await t.test('a tunnel that a new policy forbids is closed', async (t) => {
      here.open('tolerated', LOCAL, OWN + ECHO_PORT)
      await here.echoes('tolerated', 'hello')
      mesh.policies.splice(0, 1, only(MALLORY))
      mesh.save()
      await here.heard('tolerated', /^(ended|error|closed)/)
      t.match(await node.proxy.access({ error: /policy change/ }), {
        'src.identity': foreign.identity,
        bytes_sent: 5,
        bytes_recv: 5,
      })
      here.open('late', LOCAL, OWN + ECHO_PORT)
      await here.heard('late', CLOSED)
      await envoy.access({ port: OWN + ECHO_PORT, failure: 'tunnel_response:401' })
      t.equal(await envoy.stat('cluster.hbone.upstream_cx_total'), 1, 'told so on the same connection')
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})
