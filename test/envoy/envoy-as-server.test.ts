// Envoy as the server of our proxy's tunnels: pods whose 15008 is Envoy's.
import t from 'tap'
import { authorityOf, eventually, issueCredentials, Talker, TestMesh, type Pod } from '../kit/index.ts'
import { envoyServer } from './configuration.ts'
import { Envoy } from './envoy.ts'
import { pour } from './pour.ts'

const HBONE_PORT = 15_008
const ECHO_PORT = 9_000
/** Nothing is answered but what the test says. */
const QUIET_PORT = 9_001
const CLOSED_PORT = 9_998
/** Envoy has no route for it. */
const UNKNOWN_PORT = 9_999
const BIG = 5_000_000
const SEVERAL = 8
const ACCESS_LOG = {
  client: '%DOWNSTREAM_PEER_URI_SAN%',
  tls: '%DOWNSTREAM_TLS_VERSION%',
  protocol: '%PROTOCOL%',
  authority: '%REQ(:AUTHORITY)%',
  forwarded: '%REQ(FORWARDED)%',
  baggage: '%REQ(BAGGAGE)%',
  status: '%RESPONSE_CODE%',
  received: '%BYTES_RECEIVED%',
  sent: '%BYTES_SENT%',
}
const TLS_STATS = `listener.[__]_${HBONE_PORT}.ssl`

t.setTimeout(90_000)

void t.test('Envoy as server', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const client = await node.pod('client')
    const other = await node.pod('other')
    const server = await node.pod('server', { protocol: 'TCP' })
    const brief = await node.pod('brief', { protocol: 'TCP' })
    const impostor = await node.pod('impostor', { protocol: 'TCP' })
    // No ztunnel takes them in, and yet they are to be spoken to by HBONE.
    for (const pod of [server, brief, impostor]) pod.record['protocol'] = 'HBONE'
    const application = await Talker.start(server)
    await application.listen(ECHO_PORT, { echo: true })
    await application.listen(QUIET_PORT)
    const here = await Talker.start(client)
    await mesh.up()
    const ca = authorityOf(mesh.files)

    /** An Envoy in front of a pod's applications that lets only `client` in. */
    function startEnvoy(pod: Pod, identity: string, maxStreamsOfConnection?: number): Promise<Envoy> {
      const configuration = envoyServer({
        listenHost: '::',
        port: HBONE_PORT,
        targetHost: pod.v4,
        aliases: [pod.v6],
        targets: [ECHO_PORT, QUIET_PORT, CLOSED_PORT],
        credentials: issueCredentials(mesh.files, `envoy-${pod.name}`, identity, ca),
        peerIdentity: client.identity,
        accessLog: ACCESS_LOG,
        maxStreamsOfConnection,
      })
      return Envoy.start(mesh, pod, configuration)
    }
    const envoy = await startEnvoy(server, server.identity)

    await t.test('bytes are the same in both directions, and either side knows the other', async (t) => {
      for (const [name, pod, host] of [
        ['v4', client.v4, server.v4],
        ['v6', `[${client.v6}]`, server.v6],
      ] as const) {
        const authority = name === 'v6' ? `[${host}]:${ECHO_PORT}` : `${host}:${ECHO_PORT}`
        here.open(name, host, ECHO_PORT)
        await here.heard(name, /^connected/)
        const [sent, received] = await pour([here, name], [here, name], BIG)
        t.equal(received, sent, name)
        t.match(await envoy.access({ authority }), {
          client: client.identity,
          tls: 'TLSv1.3',
          protocol: 'HTTP/2',
          baggage: /k8s.namespace.name=default.*service.name=client/,
          status: 200,
          received: BIG,
          sent: BIG,
        })
        const line = await node.proxy.access({ message: 'connection complete', 'dst.hbone_addr': authority })
        t.match(line, {
          level: 'info',
          direction: 'outbound',
          'dst.workload': 'server',
          'dst.identity': server.identity,
          bytes_sent: BIG,
          bytes_recv: BIG,
        })
        const { forwarded } = await envoy.access({ authority })
        t.equal(forwarded, `for="${String(line['src.addr'])}"`)
        t.ok(String(line['src.addr']).startsWith(`${pod}:`), 'the client, not its proxy')
      }
    })

    await t.test('the client ends its half and the server goes on', async (t) => {
      here.open('asks', server.v4, QUIET_PORT)
      const there = await application.accepted(QUIET_PORT)
      here.say('asks', 'everything')
      here.end('asks')
      t.match(await application.heard(there, /^(ended|error)/), /^ended 10 /)
      const [sent, received] = await pour([application, there], [here, 'asks'], BIG)
      t.equal(received, sent)
    })

    await t.test('the server ends first: what it said arrives, and nobody is left hanging', async (t) => {
      const before = application.acceptances
      here.open('listens', server.v4, QUIET_PORT)
      const there = await application.accepted(QUIET_PORT, before)
      // No more than the stream's window: see cut-short.test.ts.
      const [sent, received] = await pour([application, there], [here, 'listens'], BIG / 5)
      t.equal(received, sent)
      // Envoy 1.40 resets a tunnel whose server has ended (NO_ERROR), whatever its client has still to say.
      await eventually("the client's connection is closed", () => {
        here.say('listens', 'anybody?')
        return here.events('listens').some((event) => event.startsWith('closed'))
      })
      t.match(await application.heard(there, /^(ended|error)/), /^ended 0 /)
    })

    await t.test('tunnels that are open at once share connections', async (t) => {
      const before = await envoy.stat('http.hbone.downstream_rq_total')
      const names = Array.from({ length: SEVERAL }, (_, at) => `one-of-several-${at}`)
      for (const name of names) here.open(name, server.v4, ECHO_PORT)
      for (const name of names) await here.echoes(name, `hello-from-${name}`)
      await eventually('all are open, and nothing else', async () => {
        return (await envoy.stat('http.hbone.downstream_rq_active')) === SEVERAL
      })
      t.equal((await envoy.stat('http.hbone.downstream_rq_total')) - before, SEVERAL)
      // One for each data worker and for each of the two addresses that the server was called by.
      const most = 2 * (await node.proxy.workers()).length
      t.ok((await envoy.stat('http.hbone.downstream_cx_total')) <= most, `at most ${most} connections`)
      for (const name of names) here.end(name)
      for (const name of names) t.match(await here.heard(name, /^(ended|error)/), /^ended/)
    })

    await t.test('what Envoy refuses is closed, and says why', async (t) => {
      for (const [port, status] of [
        [CLOSED_PORT, 503],
        [UNKNOWN_PORT, 404],
      ] as const) {
        const authority = `${server.v4}:${port}`
        here.open(authority, server.v4, port)
        await here.heard(authority, /^closed/)
        t.match(await node.proxy.access({ message: 'connection complete', 'dst.hbone_addr': authority }), {
          level: 'error',
          error: new RegExp(`http status: ${status}`),
        })
        t.match(await envoy.access({ authority }), { client: client.identity, status })
      }
    })

    await t.test('a client that Envoy does not want', async (t) => {
      const requests = await envoy.stat('http.hbone.downstream_rq_total')
      t.equal(await envoy.stat(`${TLS_STATS}.fail_verify_san`), 0, 'nobody was refused so far')
      const another = await Talker.start(other)
      another.open('unwanted', server.v4, ECHO_PORT)
      another.say('unwanted', 'secret')
      await another.heard('unwanted', /^closed/)
      t.match(await node.proxy.access({ message: 'connection complete', 'src.workload': 'other' }), {
        level: 'error',
        'src.identity': other.identity,
        'dst.addr': `${server.v4}:${HBONE_PORT}`,
        bytes_sent: 0,
        // What Envoy says of it, unless that is overtaken by the end of its connection.
        error: /^the connection was lost: (ssl\/tls alert certificate unknown|.*(EPIPE|ECONNRESET))$/,
      })
      t.ok((await envoy.stat(`${TLS_STATS}.fail_verify_san`)) > 0)
      t.equal(await envoy.stat('http.hbone.downstream_rq_total'), requests, 'no tunnel was asked for')
      t.notMatch(application.program.output, /secret/)
    })

    await t.test('a server that is somebody else gets nothing', async (t) => {
      const behind = await Talker.start(impostor)
      await behind.listen(ECHO_PORT, { echo: true })
      const wrong = await startEnvoy(impostor, server.identity)
      here.open('betrayed', impostor.v4, ECHO_PORT)
      here.say('betrayed', 'secret')
      await here.heard('betrayed', /^closed/)
      const line = await node.proxy.access({ message: 'connection complete', 'dst.workload': 'impostor' })
      t.match(line, { level: 'error', 'dst.addr': `${impostor.v4}:${HBONE_PORT}`, bytes_sent: 0 })
      t.ok(String(line['error']).includes(`The server is ${server.identity}; expected ${impostor.identity}.`))
      t.equal(await wrong.stat('http.hbone.downstream_cx_total'), 1, 'it was dialled')
      t.equal(await wrong.stat('http.hbone.downstream_cx_rx_bytes_total'), 0, 'and was told nothing')
      t.equal(await wrong.stat(`${TLS_STATS}.handshake`), 0)
      t.same(behind.acceptances, [])
    })

    await t.test('told to go away, our proxy opens the next tunnel on another connection', async (t) => {
      const behind = await Talker.start(brief)
      await behind.listen(ECHO_PORT, { echo: true })
      const hasty = await startEnvoy(brief, brief.identity, 2)
      here.open('lasting', brief.v4, ECHO_PORT)
      await here.echoes('lasting', 'at-first')
      for (let count = 1; count <= SEVERAL; count++) {
        const name = `passing-${count}`
        here.open(name, brief.v4, ECHO_PORT)
        await here.heard(name, /^connected/)
        const [sent, received] = await pour([here, name], [here, name], 100_000)
        t.equal(received, sent, name)
      }
      await here.echoes('lasting', 'at-last')
      here.end('lasting')
      t.match(await here.heard('lasting', /^(ended|error)/), /^ended/)
      t.ok((await hasty.stat('http.hbone.downstream_cx_max_requests_reached')) > 1)
      t.equal(await hasty.stat('http.hbone.downstream_rq_total'), SEVERAL + 1, 'no tunnel was asked for twice')
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})
