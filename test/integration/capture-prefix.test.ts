// The addresses that a pod's IPv6 connections are captured by are lo's alone, as ::1 is: nobody outside reaches them, speaks as
// one of them, or hears what is meant for them.
import t from 'tap'
import { SECRET, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh } from '../kit/index.ts'

const PREFIX = 'fd16:9254:7127:1501::/64'
const ONE_OF_THEM = 'fd16:9254:7127:1501:1::5'
const PORT = 9_000
const HBONE_PORT = 15_008

t.setTimeout(60_000)

void t.test('the addresses of the capture', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const pod = await node.pod('pod')
    const other = await node.pod('other')
    const neighbour = await node.pod('neighbour', { protocol: 'TCP' })
    for (const one of [pod, other]) startNginx(mesh, one)
    const client = await Talker.start(pod)
    await (await Talker.start(other)).listen(PORT, { echo: true })
    mesh.environment['AMBIT_DRIFT_INTERVAL'] = '0s'
    await mesh.up()
    await pod.must(['nft', '-f', '-'], {
      input: `table ip6 seen {
        counter came { }
        counter tried { }
        counter left { }
        chain input { type filter hook input priority 0; iif "eth0" ip6 saddr ${PREFIX} counter name came; }
        chain output { type filter hook output priority -110; tcp dport ${PORT} counter name tried; }
        chain postrouting { type filter hook postrouting priority 0; oif "eth0" ip6 daddr ${PREFIX} counter name left; }
      }`,
    })
    const seen = async (counter: string): Promise<number> => {
      return Number(/packets (\d+)/.exec(await pod.must(['nft', 'list', 'counter', 'ip6', 'seen', counter]))?.[1])
    }

    await t.test('a neighbour does not reach the pod by them', async (t) => {
      await neighbour.must(['ip', '-6', 'route', 'add', PREFIX, 'via', pod.v6])
      for (const port of [WEB_PORT, HBONE_PORT])
        t.equal((await neighbour.curl(ONE_OF_THEM, port, '/', ['-m', '1'])).stdout, '', `port ${port}`)
      t.notMatch(node.proxy.program.output, ONE_OF_THEM)
      t.match((await neighbour.curl(pod.v6, WEB_PORT)).stdout, SECRET)
    })

    await t.test('what a neighbour sends from one of them is not heard', async (t) => {
      // Such a packet would be the proxy's answer to the application, if its numbers were right.
      await neighbour.must(['ip', 'addr', 'add', `${ONE_OF_THEM}/128`, 'dev', 'eth0', 'nodad'])
      await neighbour.curl(pod.v6, WEB_PORT, '/', ['-m', '1', '--interface', ONE_OF_THEM])
      t.equal(await seen('came'), 0)
    })

    await t.test('the application goes nowhere from one of them', async (t) => {
      // Without the address any program may do so by IPV6_FREEBIND.
      await pod.must(['ip', 'addr', 'add', `${ONE_OF_THEM}/128`, 'dev', 'lo', 'nodad'])
      t.notOk((await pod.curl(other.v6, WEB_PORT, '/', ['-m', '1', '--interface', ONE_OF_THEM])).ok)
      t.notMatch(node.proxy.program.output, ONE_OF_THEM)
      await pod.must(['ip', 'addr', 'del', `${ONE_OF_THEM}/128`, 'dev', 'lo'])
      t.match((await pod.curl(other.v6, WEB_PORT)).stdout, SECRET)
    })

    await t.test(
      'nothing for them leaves the pod while their route has gone, and all goes on when it is back',
      async (t) => {
        client.open('old', other.v6, PORT)
        await client.echoes('old', 'before')
        await pod.must(['ip', '-6', 'route', 'del', 'local', PREFIX, 'dev', 'lo'])
        const tried = await seen('tried')
        client.say('old', 'meanwhile')
        client.open('new', other.v6, PORT)
        await eventually('both have tried', async () => (await seen('tried')) >= tried + 2)
        t.equal(await seen('left'), 0)
        await pod.must(['ip', '-6', 'route', 'add', 'local', PREFIX, 'dev', 'lo'])
        await client.heard('old', /got .*meanwhile/)
        await client.echoes('new', 'after')
      },
    )
  } finally {
    t.same(await mesh.close(), [])
  }
})
