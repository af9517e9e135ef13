// Peers on the pod's own link that use link-local addresses, which mean something together with an interface only. The pod's
// has a number that no interface of the node has.
import t from 'tap'
import { SECRET, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, must, TestMesh, type Pod } from '../kit/index.ts'

const HERE = 'fe80::5'
const THERE = 'fe80::6'
const INTERFACE = '4242'

t.setTimeout(90_000)

void t.test('link-local', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const server = await node.pod('server')
    const neighbour = await node.pod('neighbour', { protocol: 'TCP' })
    const other = await node.pod('other', { protocol: 'TCP' })
    for (const pod of [server, neighbour, other]) startNginx(mesh, pod)
    const [here, there] = [server, neighbour].map(({ place }) => place.namespace)
    await must(`ip link add wire netns ${here} index ${INTERFACE} type veth peer name wire netns ${there}`.split(' '))
    await addressOn(server, HERE)
    await addressOn(neighbour, THERE)
    neighbour.record['workloadIps'] = [neighbour.v4, neighbour.v6, THERE]
    await eventually('connected', async () => (await neighbour.curl(`${HERE}%wire`, WEB_PORT)).ok)
    await mesh.up()
    const workers = await node.proxy.workers()

    await t.test('one is taken by the proxy and known to the mesh by the address alone', async (t) => {
      const { stdout, stderr } = await neighbour.curl(`${HERE}%wire`, WEB_PORT)
      // The public byte path cannot dial such an address.
      if (process.env['AMBIT_TEST_IO'] === 'stream') t.match(stderr, /reset/)
      else
        t.equal(
          stdout.trim(),
          `server says ${SECRET} to ${HERE}`,
          'by the own address, for the client has no route back',
        )
      t.match(await node.proxy.access({ 'src.addr': /^\[fe80::6\]:\d+$/, direction: 'inbound' }), {
        'src.workload': 'neighbour',
        'dst.addr': `[${HERE}]:${WEB_PORT}`,
      })
    })

    await t.test('nor is it a way past the handshake', async (t) => {
      t.notOk((await neighbour.curl(`${HERE}%wire`, 15_008)).ok)
      t.ok(await node.proxy.access({ 'src.addr': /^\[fe80::6\]/, error: 'tls handshake error: http request' }))
    })

    await t.test('nor is it a way to speak from the address of the pod', async (t) => {
      await neighbour.must(['ip', '-6', 'route', 'add', other.v6, 'via', HERE, 'dev', 'wire', 'src', THERE])
      const { ok, stdout } = await neighbour.curl(other.v6, WEB_PORT)
      t.notOk(ok, stdout)
      t.ok(await node.proxy.access({ 'dst.addr': `[${other.v6}]:${WEB_PORT}`, error: /packets are not forwarded/ }))
    })

    await t.test('the pod reaches one past the proxy, as without a mesh', async (t) => {
      t.equal((await server.curl(`${THERE}%wire`, WEB_PORT)).stdout.trim(), `neighbour says ${SECRET} to ${HERE}`)
    })

    await t.test('policy knows its address', async (t) => {
      mesh.policies.push({
        name: 'nobody-of-the-link',
        namespace: 'default',
        scope: 'Namespace',
        action: 'Deny',
        dryRun: false,
        rules: [[[{ sourceIps: ['fe80::/10'] }]]],
      })
      mesh.save()
      t.ok(
        await eventually('refused by policy', async () => {
          await neighbour.curl(`${HERE}%wire`, WEB_PORT)
          return node.proxy.logged({ 'src.addr': /^\[fe80::6\]/, error: /policy rejection/ })
        }),
      )
      t.match((await neighbour.curl(server.v6, WEB_PORT)).stdout, SECRET)
    })

    await t.test('no worker has died of it', async (t) => {
      t.same(await node.proxy.workers(), workers)
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

/** The only link-local address of the pod's end of the wire. */
async function addressOn(pod: Pod, address: string): Promise<void> {
  const input = `link set wire addrgenmode none\naddr add ${address}/64 dev wire nodad\nlink set wire up\n`
  await pod.must(['ip', '-batch', '-'], { input })
}
