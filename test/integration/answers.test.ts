// The application's answers go to the proxy, not to the client whose address it sees, whatever way its socket came to be.
import { selectIo } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import t from 'tap'
import { listenTcp, NetworkNamespace } from '../../ztunnel/src/linux/index.ts'
import { startNginx, startRedis, REDIS_PORT, SECRET, WEB_PORT } from '../demo/programs.ts'
import { eventually, TestMesh } from '../kit/index.ts'

t.setTimeout(60_000)

const MARKED_PORT = 9_000
const ALWAYS = '2'
const NEVER = '0'

void t.test('answers of the application', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const client = await mesh.addPod(await mesh.addNode('a'), 'client')
    const server = await mesh.addPod(await mesh.addNode('b'), 'server')
    startNginx(mesh, server)
    startRedis(server)
    await mesh.up()
    const set = (name: string, value: string): Promise<string> =>
      server.must(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/${name}`])

    await t.test('its sockets take over the mark that routes them', async (t) => {
      client.start('subscriber', ['redis-cli', '-h', server.v4, '-p', String(REDIS_PORT), 'subscribe', 'news'])
      await eventually('the connection is marked', async () => {
        const sockets = await server.must(['ss', '-Htne', 'state', 'established', 'sport', '=', `:${REDIS_PORT}`])
        return sockets.includes(client.v4) && sockets.includes('fwmark:0x1111')
      })
      t.pass()
    })

    for (const takesMark of ['1', '0']) {
      for (const cookies of [NEVER, ALWAYS]) {
        await t.test(`tcp_fwmark_accept=${takesMark}, tcp_syncookies=${cookies}`, async (t) => {
          await set('tcp_fwmark_accept', takesMark)
          await set('tcp_syncookies', cookies)
          for (const [address, from] of [
            [server.v4, client.v4],
            [server.v6, client.v6],
          ] as const)
            t.equal((await client.curl(address, WEB_PORT)).stdout.trim(), `server says ${SECRET} to ${from}`)
        })
      }
    }

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
