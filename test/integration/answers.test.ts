// The application's answers go to the proxy, not to the client whose address it sees, whatever way its socket came to be.
import { selectIo } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import t from 'tap'
import { listenTcp, NetworkNamespace } from '../../ztunnel/src/linux/index.ts'
import { seenBy, startNginx, startRedis, REDIS_PORT, SECRET, WEB_PORT } from '../demo/programs.ts'
import { command, eventually, inside, TestMesh, type Pod, type Program } from '../kit/index.ts'

t.setTimeout(60_000)

const SERVICE = 'default/itself.default.svc.cluster.local'
const VIP = '10.96.0.7'
const MARKED_PORT = 9_000
const ALWAYS = '2'
const NEVER = '0'

void t.test('answers of the application', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const client = await (await mesh.node('a')).pod('client')
    const b = await mesh.node('b')
    const neighbour = await b.pod('neighbour', { protocol: 'TCP' })
    const server = await b.pod('server', { services: { [SERVICE]: { [REDIS_PORT]: REDIS_PORT } } })
    mesh.services.push({
      name: 'itself',
      namespace: 'default',
      hostname: 'itself.default.svc.cluster.local',
      vips: [`/${VIP}`],
      ports: { [REDIS_PORT]: REDIS_PORT },
    })
    startNginx(mesh, server)
    startRedis(server)
    await mesh.up()
    const set = (name: string, value: string): Promise<string> =>
      server.must(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/${name}`])

    await t.test("its sockets take over the mark that routes them, and never the proxy's own", async (t) => {
      // An application that has the proxy's mark may dial anywhere past it. The pod that calls itself is dialled plainly.
      const subscribers = [subscribe(client, server.v4), subscribe(server, VIP)]
      const marks = async (): Promise<readonly string[]> => {
        const sockets = await server.must(['ss', '-Htne', 'state', 'established', 'sport', '=', `:${REDIS_PORT}`])
        return (sockets.match(/fwmark:0x\w+/g) ?? []).toSorted()
      }
      await eventually('both are connected', async () => (await marks()).length === 2)
      t.same(await marks(), ['fwmark:0x111', 'fwmark:0x1111'])
      for (const subscriber of subscribers) await subscriber.stop()
    })

    await t.test("they do not take over marks of the pod's own rules", async (t) => {
      await server.must(['nft', 'add table ip own; add chain ip own p { type filter hook prerouting priority -200; }'])
      await server.must(['nft', `add rule ip own p tcp dport ${WEB_PORT} meta mark set 1`])
      await server.must(['ip', 'rule', 'add', 'fwmark', '1', 'lookup', '133'])
      await server.must(['ip', 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '133'])
      const probe = ['curl', '-sS', '--noproxy', '*', '-m', '5', `http://${server.v4}:${WEB_PORT}/`]
      t.match((await command([...inside(b.place.namespace), ...probe])).stdout, SECRET, 'a probe of the node')
      t.match((await client.curl(server.v4, WEB_PORT)).stdout, SECRET, 'and the mesh')
      await server.must(['nft', 'delete', 'table', 'ip', 'own'])
      await server.must(['ip', 'rule', 'del', 'fwmark', '1'])
    })

    for (const takesMark of ['1', '0']) {
      for (const cookies of [NEVER, ALWAYS]) {
        await t.test(`tcp_fwmark_accept=${takesMark}, tcp_syncookies=${cookies}`, async (t) => {
          await set('tcp_fwmark_accept', takesMark)
          await set('tcp_syncookies', cookies)
          t.same(await seenBy(server, client), [client.v4, client.v6])
        })
      }
    }

    await t.test('nobody outside answers in its place', async (t) => {
      const subscriber = subscribe(client, server.v6)
      const peer = async (): Promise<string | undefined> => {
        const sockets = await server.must(['ss', '-Htn', 'state', 'established', 'sport', '=', `:${REDIS_PORT}`])
        return /\]:(\d+)\s*$/.exec(sockets)?.[1]
      }
      const port = await eventually('connected', peer)
      await server.must(['nft', '-f', '-'], {
        input: `table ip6 seen {
          counter came { }
          counter taken { }
          chain prerouting { type filter hook prerouting priority raw; iif "eth0" ip6 saddr ${server.v6} counter name came; }
          chain input { type filter hook input priority 0; iif "eth0" ip6 saddr ${server.v6} counter name taken; }
        }`,
      })
      // Over IPv6 the kernel takes a packet from its own address, whoever sends it. This one is a SYN that becomes an ACK, which
      // conntrack takes for a part of the connection when it does not look at numbers, which one may guess.
      await server.must(['sh', '-c', 'echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal'])
      await neighbour.must(['nft', '-f', '-'], {
        input: `table ip6 forge { chain c { type filter hook output priority 0; tcp sport ${REDIS_PORT} tcp flags set ack; }; }`,
      })
      const link = /fe80::\S+(?=\/)/.exec(
        await server.must(['ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'link']),
      )
      await neighbour.must(['ip', 'addr', 'add', `${server.v6}/128`, 'dev', 'lo', 'nodad'])
      await neighbour.must(['ip', '-6', 'route', 'add', client.v6, 'via', `${link?.[0]}`, 'dev', 'eth0'])
      const asTheServer = ['--interface', server.v6, '--local-port', String(REDIS_PORT)]
      await neighbour.curl(client.v6, Number(port), '/', ['-m', '1', ...asTheServer])
      const counters = await server.must(['nft', 'list', 'counters', 'table', 'ip6', 'seen'])
      t.match(counters, /came \{\s+packets [1-9]/)
      t.match(counters, /taken \{\s+packets 0 /)
      await server.must(['nft', 'delete', 'table', 'ip6', 'seen'])
      await subscriber.stop()
    })

    await t.test('a listener with a mark of its own', async (t) => {
      await set('tcp_fwmark_accept', '1')
      const io = await selectIo({ log: silentLog })
      const inside = NetworkNamespace.open(server.netns)
      const { fd } = listenTcp(inside, {
        address: '::',
        port: MARKED_PORT,
        backlog: 8,
        mark: 0x7,
        reusePort: false,
        transparent: false,
        keepAlive: undefined,
        userTimeoutMs: undefined,
      })
      inside.close()
      const clients: string[] = []
      const listener = io.listen(io.adopt(fd), 8, (end) => {
        clients.push(end.remote.address)
        end.destroy()
      })
      // Ended without an answer, which curl sees at once; an end that got lost would be waited for.
      t.match((await client.curl(server.v4, MARKED_PORT)).stderr, /Empty reply|reset/)
      t.same(clients, [client.v4])
      listener.close()
      await listener.closed
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

function subscribe(by: Pod, host: string): Program {
  return by.start('subscriber', ['redis-cli', '-h', host, '-p', String(REDIS_PORT), 'subscribe', 'news'])
}
