// What programs may expect of their connections once they are in the mesh: the same as without it.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { GREETER_PORT, REDIS_PORT, seenBy, startGreeter, startNginx, startRedis, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh } from '../kit/index.ts'

const MANUAL_PORT = 9_000
const ECHO_PORT = 9_001
/** Where nothing answers at all. */
const MUTE_PORT = 9_998
const CLOSED_PORT = 9_999
const BIG = 24 * 1024 * 1024
const NOBODY = '192.168.50.77'

t.setTimeout(90_000)

void t.test('traffic of two nodes', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const client = await a.pod('client')
    const neighbour = await a.pod('neighbour')
    const outsider = await a.pod('outsider', { protocol: 'TCP' })
    const server = await b.pod('server')
    startNginx(mesh, server)
    startGreeter(server)
    await startRedis(server).says(/eady to accept/)
    const [here, beside, outside, there] = await Promise.all(
      [client, neighbour, outsider, server].map((pod) => Talker.start(pod)),
    )
    if (!here || !beside || !outside || !there) throw new Error('a talker is missing')
    await Promise.all([beside, outside, there].map((talker) => talker.listen(ECHO_PORT, { echo: true })))
    await there.listen(MANUAL_PORT)
    await mesh.up()

    /** A connection from the client to the server, which ends nothing by itself; answers its name at the server. */
    async function connected(name: string): Promise<string> {
      const known = there?.program.output.match(/9000\/\d+(?= accepted)/g) ?? []
      here?.open(name, server.v4, MANUAL_PORT)
      const peer = (await there?.accepted(MANUAL_PORT, known)) ?? ''
      await there?.heard(peer, /accepted/)
      return peer
    }

    await t.test('HTTP over IPv4 and IPv6, and both ends log who talked to whom', async (t) => {
      t.same(await seenBy(server, client), [client.v4, client.v6])
      const outbound = await a.proxy.access({ message: 'connection complete', 'dst.workload': 'server' })
      t.match(outbound, {
        level: 'info',
        direction: 'outbound',
        'src.workload': 'client',
        'src.identity': client.identity,
        'dst.addr': `${server.v4}:15008`,
        'dst.hbone_addr': `${server.v4}:${WEB_PORT}`,
        'dst.identity': server.identity,
      })
      t.notOk('error' in outbound)
      const inbound = await b.proxy.access({ message: 'connection complete', 'dst.workload': 'server' })
      t.match(inbound, { direction: 'inbound', 'src.identity': client.identity, 'dst.identity': server.identity })
      t.equal(inbound['bytes_sent'], outbound['bytes_recv'], 'what one received the other sent')
      t.equal(inbound['bytes_recv'], outbound['bytes_sent'])
    })

    await t.test('a server that speaks first', async (t) => {
      here.open('greeted', server.v4, GREETER_PORT)
      t.match(await here.heard('greeted', /got/), 'welcome')
      await here.heard('greeted', /ended/)
      here.end('greeted')
    })

    await t.test('redis answers redis-cli, many commands on one connection', async (t) => {
      const redis = ['redis-cli', '-h', server.v4, '-p', String(REDIS_PORT)]
      await client.must([...redis, 'set', 'order', '42'])
      const commands = Array.from({ length: 200 }, () => 'incr order\n').join('')
      const answers = await client.must(redis, { input: commands })
      t.equal(answers.trim().split('\n').at(-1), '242')
    })

    await t.test(`${BIG} bytes up and down arrive as they were sent`, async (t) => {
      const peer = await connected('big')
      here.pour('big', BIG)
      const [, , sent] = (await here.heard('big', /^poured/)).split(' ')
      here.end('big')
      t.equal(await there.heard(peer, /^ended/), `ended ${BIG} ${sent}`, 'up')
      there.pour(peer, BIG)
      await there.heard(peer, /^poured/)
      there.end(peer)
      t.equal(await here.heard('big', /^ended/), `ended ${BIG} ${sent}`, 'down')
      const upload = readFileSync(fileURLToPath(import.meta.resolve('typescript')))
      mesh.files.write('upload', upload.toString('latin1'))
      const hash = createHash('sha256')
        .update(readFileSync(mesh.files.path('upload')))
        .digest('hex')
      const stored = await client.run([
        'sh',
        '-c',
        `redis-cli -h ${server.v4} -x set file < ${mesh.files.path('upload')} > /dev/null && redis-cli -h ${server.v4} --raw get file | head -c -1 | sha256sum`,
      ])
      t.equal(stored.stdout.split(' ')[0], hash, `a file of ${upload.length} bytes through redis and back`)
    })

    await t.test('half-close: each side may end and still receive', async () => {
      const first = await connected('client-ends')
      here.end('client-ends')
      await there.heard(first, /^ended 0/)
      there.say(first, 'still-here')
      await here.heard('client-ends', /got "still-here"/)
      there.end(first)
      await here.heard('client-ends', /^closed/)
      const second = await connected('server-ends')
      there.end(second)
      await here.heard('server-ends', /^ended 0/)
      here.say('server-ends', 'still-talking')
      await there.heard(second, /got "still-talking"/)
      here.end('server-ends')
      await there.heard(second, /^closed/)
    })

    // Istio's ztunnel too swallows the reset itself: the other side sees an orderly end.
    await t.test('a reset of either side ends the connection at the other', async (t) => {
      const first = await connected('client-resets')
      here.say('client-resets', 'word')
      await there.heard(first, /got "word"/)
      here.reset('client-resets')
      await there.heard(first, /^ended/)
      there.end(first)
      await there.heard(first, /^closed/)
      const second = await connected('server-resets')
      there.reset(second)
      await here.heard('server-resets', /^(ended|error ECONNRESET)/)
      here.end('server-resets')
      await here.heard('server-resets', /^closed/)
      t.pass('both ended')
    })

    await t.test('connections that were idle for a while still carry', async () => {
      const names = Array.from({ length: 20 }, (_, index) => `idle${index}`)
      for (const name of names) here.open(name, server.v4, ECHO_PORT)
      await Promise.all(names.map((name) => here.echoes(name, 'before')))
      await new Promise((resolve) => {
        setTimeout(resolve, 3_000)
      })
      await Promise.all(names.map((name) => here.echoes(name, 'after')))
      for (const name of names) here.end(name)
      await Promise.all(names.map((name) => here.heard(name, /^closed/)))
    })

    await t.test('400 connections at once, each with what is its own', async (t) => {
      const names = Array.from({ length: 400 }, (_, index) => `many${index}`)
      for (const name of names) here.open(name, server.v4, ECHO_PORT)
      await Promise.all(names.map((name) => here.echoes(name, `mine:${name};`)))
      for (const name of names) here.end(name)
      await Promise.all(names.map((name) => here.heard(name, /^closed/)))
      t.ok(names.every((name) => here.events(name).filter((event) => event.startsWith('got')).length === 1))
    })

    await t.test('pods of one node talk over HBONE too', async (t) => {
      here.open('beside', neighbour.v4, ECHO_PORT)
      await here.echoes('beside', 'neighbour')
      here.end('beside')
      const line = await a.proxy.access({ direction: 'inbound', 'dst.workload': 'neighbour' })
      t.equal(line['src.identity'], client.identity)
    })

    await t.test('what comes from another address of the pod has a tunnel connection of its own', async (t) => {
      const more = '10.77.0.1'
      await client.must(['ip', 'addr', 'add', `${more}/32`, 'dev', 'lo'])
      const connections = async (): Promise<number> => {
        const words = ['ss', '-Htn', 'state', 'established', 'dst', server.v4, 'dport', '=', ':15008']
        return (await client.must(words)).trim().split('\n').length
      }
      // With several workers each has one by then.
      for (let i = 0; i < 20; i++) t.ok((await client.curl(server.v4, WEB_PORT)).ok)
      const before = await connections()
      t.ok((await client.curl(server.v4, WEB_PORT, '/', ['--interface', more])).ok)
      t.equal((await connections()) - before, 1)
      t.ok(await a.proxy.access({ message: 'connection complete', 'src.addr': new RegExp(`^${more}:`) }))
    })

    await t.test('a client outside of the mesh is served in plaintext, without an identity', async (t) => {
      const { stdout } = await outsider.curl(server.v4, WEB_PORT)
      t.ok(stdout.trim().endsWith(`to ${outsider.v4}`), stdout)
      const line = await b.proxy.access({ direction: 'inbound', 'src.workload': 'outsider' })
      t.equal(line['dst.addr'], `${server.v4}:${WEB_PORT}`)
      t.notOk('src.identity' in line || 'dst.identity' in line || 'error' in line)
      const labels = { reporter: 'destination', source_workload: 'outsider', connection_security_policy: 'unknown' }
      t.equal(await b.proxy.metric('istio_tcp_connections_opened_total', labels), 1)
    })

    await t.test('destinations outside of the mesh: a known workload, and one that nobody knows', async (t) => {
      here.open('plain', outsider.v6, ECHO_PORT)
      await here.echoes('plain', 'outside')
      here.end('plain')
      const known = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'outsider' })
      t.notOk('dst.hbone_addr' in known || 'dst.identity' in known)
      const web = mesh.start('web', [
        process.execPath,
        '-e',
        'require("http").createServer((request, response) => response.end("here")).listen(8090)',
      ])
      await eventually('the web server of the fabric answers', async () => {
        if (!web.isRunning) throw new Error(web.output)
        return (await client.curl('192.168.50.254', 8_090)).ok
      })
      const line = await a.proxy.access({
        'dst.addr': '192.168.50.254:8090',
        message: 'connection complete',
        level: 'info',
      })
      t.notOk('dst.workload' in line)
    })

    await t.test('a port where nothing listens: the client gets a reset, the logs say why', async (t) => {
      here.open('refused', server.v4, CLOSED_PORT)
      await here.heard('refused', /^error (ECONNRESET|ECONNREFUSED)/)
      const inbound = await b.proxy.access({ direction: 'inbound', level: 'error', 'dst.workload': 'server' })
      t.match(inbound['error'], /refused/i)
      const outbound = await a.proxy.access({ direction: 'outbound', level: 'error', 'dst.workload': 'server' })
      t.match(outbound['error'], /503/)
      const failed = { response_flags: 'CONNECT', destination_workload: 'server' }
      t.equal(await a.proxy.metric('istio_tcp_connections_failed_total', failed), 1)
      t.notOk(
        b.proxy.lines.find((line) => line['dst.addr'] === `${server.v4}:${CLOSED_PORT}`),
        'a destination in the mesh is not tried again in plaintext',
      )
      outside.open('refused', server.v4, CLOSED_PORT)
      await outside.heard('refused', /^error (ECONNRESET|ECONNREFUSED)/)
      here.open('refused-plain', outsider.v4, CLOSED_PORT)
      await here.heard('refused-plain', /^error (ECONNRESET|ECONNREFUSED)/)
      const plain = await a.proxy.access({ level: 'error', 'dst.addr': `${outsider.v4}:${CLOSED_PORT}` })
      t.match(plain['error'], /refused/i)
    })

    await t.test('a host that does not answer: the client gets a reset and not an empty answer', async (t) => {
      here.open('unreachable', NOBODY, 80)
      await here.heard('unreachable', /^error (ECONNRESET|EHOSTUNREACH)/)
      const line = await a.proxy.access({ level: 'error', 'dst.addr': `${NOBODY}:80` })
      t.match(line['error'], /EHOSTUNREACH/)
    })

    await t.test('a client that leaves while its destination is dialled is not waited for', async () => {
      await outsider.must(['nft', 'add table inet mute; add chain inet mute in { type filter hook input priority 0; }'])
      await outsider.must(['nft', `add rule inet mute in tcp dport ${MUTE_PORT} drop`])
      here.open('impatient', outsider.v4, MUTE_PORT)
      await eventually('it is dialled', async () =>
        (await a.proxy.get(15_000, '/config_dump')).includes(`"actualDst": "${outsider.v4}:${MUTE_PORT}"`),
      )
      here.reset('impatient')
      await a.proxy.access({
        'dst.addr': `${outsider.v4}:${MUTE_PORT}`,
        error: 'client disconnected before its destination was reached',
      })
      await outsider.must(['nft', 'delete table inet mute'])
    })

    await t.test('nobody gets at the ports of a proxy by way of a pod', async (t) => {
      const hosts = [server.v4, server.v6, client.v4, '127.0.0.1', a.v4]
      const ports = [15_000, 15_001, 15_006, 15_008, 15_020, 15_021, 15_080]
      for (const from of [client, outsider]) {
        const served = await Promise.all(
          hosts.map(async (host) => {
            const open: string[] = []
            for (const port of ports)
              if ((await from.curl(host, port, '/healthz/ready', ['-m', '4'])).ok) open.push(`${host}:${port}`)
            return open
          }),
        )
        t.comment(`${from.name}: ${served.flat().join(', ') || 'none'}`)
        t.strictSame(
          served.flat().filter((one) => !one.startsWith(a.v4)),
          [],
          from.name,
        )
      }
      t.ok((await client.curl(server.v4, WEB_PORT)).ok, 'and all go on to serve')
    })

    await t.test(
      'a listener of the proxy dialled by an address that no record names does not dial itself',
      async (t) => {
        const unnamed = '10.77.0.1'
        await client.must(['ip', 'addr', 'add', `${unnamed}/32`, 'dev', 'eth0'])
        const answer = await client.curl(unnamed, 15_001, '/', ['-m', '4'])
        t.notOk(answer.ok)
        const dst = { 'dst.addr': `${unnamed}:15001`, direction: 'outbound' }
        await a.proxy.access({ ...dst, error: 'attempted recursive call to ourselves' })
        const refusals = a.proxy.lines.filter((line) => line['dst.addr'] === dst['dst.addr'])
        t.equal(refusals.length, 1, 'once, not once for each time round')
        await client.must(['ip', 'addr', 'del', `${unnamed}/32`, 'dev', 'eth0'])
      },
    )

    await t.test('a server that is not who the mesh says it is: nothing is sent to it', async (t) => {
      const claimed = { protocol: 'HBONE', workloadIps: [server.v4], serviceAccount: 'somebody-else' }
      server.record['workloadIps'] = [server.v6]
      Object.assign(outsider.record, claimed)
      mesh.save()
      await eventually('the lie is known', async () => {
        return (await a.proxy.get(15_000, '/config_dump')).includes('somebody-else')
      })
      here.open('deceived', server.v4, ECHO_PORT)
      here.say('deceived', 'secret')
      await here.heard('deceived', /^error ECONNRESET/)
      const line = await a.proxy.access({ level: 'error', 'dst.identity': /somebody-else/ })
      t.match(line['error'], server.identity, 'the log tells who answered')
      t.ok((await a.proxy.metric('istio_tcp_connections_failed_total', { response_flags: 'CONNECT' })) > 0)
      t.notMatch(there.program.output, 'secret')
      delete server.record['workloadIps']
      for (const key of Object.keys(claimed)) delete outsider.record[key]
      mesh.save()
      await eventually('all is well again', async () => (await client.curl(server.v4, WEB_PORT)).ok)
    })

    await t.test('what was opened was closed: nothing is left open on either node', async (t) => {
      for (const { proxy } of [a, b]) {
        await eventually('opened equals closed', async () => {
          const opened = await proxy.metric('istio_tcp_connections_opened_total')
          return opened > 0 && opened === (await proxy.metric('istio_tcp_connections_closed_total'))
        })
      }
      t.equal(await a.proxy.metric('istio_tcp_sockets_open', { reporter: 'source' }), 0)
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})
