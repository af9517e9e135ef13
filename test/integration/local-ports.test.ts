// A client that uses up the local ports from which it reaches an application: it alone is refused, at little cost.
import t from 'tap'
import { eventually, Talker, TestMesh } from '../kit/index.ts'
import { ECHO_PORT, twoNodes } from './two-nodes.ts'

t.setTimeout(60_000)

void t.test('local ports that are used up', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const { a, b, client, server } = await twoNodes(mesh)
    const other = await a.pod('other')
    await mesh.up()
    const [here, there] = [await Talker.start(client), await Talker.start(other)]
    await server.must(['sh', '-c', 'echo 40000 40004 > /proc/sys/net/ipv4/ip_local_port_range'])
    const refused = (): readonly unknown[] =>
      b.proxy.lines.filter(
        (line) => line['direction'] === 'inbound' && /EADDRNOTAVAIL|no local port/.test(String(line['error'])),
      )

    for (const name of ['h1', 'h2', 'h3', 'h4', 'h5']) {
      here.open(name, server.v4, ECHO_PORT)
      await here.echoes(name, 'here')
    }
    for (const name of ['r1', 'r2', 'r3']) {
      here.open(name, server.v4, ECHO_PORT)
      await here.heard(name, /^(ended|error)/)
    }
    await eventually('each is told', () => refused().length === 3)
    t.match(refused()[0], { 'src.workload': 'client', error: /^connection failed: connect to .*:9000: / })

    there.open('o', server.v4, ECHO_PORT)
    await there.echoes('o', 'there')
    t.pass('another client is served')
    for (const name of ['h1', 'h5']) await here.echoes(name, 'still')

    await server.must(['sh', '-c', 'echo 40000 40010 > /proc/sys/net/ipv4/ip_local_port_range'])
    here.open('again', server.v4, ECHO_PORT)
    await here.echoes('again', 'here')
    t.pass('and so is this one as soon as there is a port')
  } finally {
    t.strictSame(await mesh.close(), [])
  }
})
