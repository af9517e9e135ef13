// A pod that forwards packets for others (a router, docker in a pod): what goes through it is plaintext that comes to the pod,
// judged by the pod's policy, and goes on from the address that it came from.
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { SECRET, seenBy, startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, inside, must, TestMesh, type Pod, type TestNode } from '../kit/index.ts'

const ROUTER = { v4: '10.9.0.1', v6: 'fd09::1' }
const GUEST = { v4: '10.9.0.2', v6: 'fd09::2' }
/** The node has a route for it over the router, and the router one over the node. */
const LOST = '10.9.9.9'
const CLOSED_PORT = 9_999
/** Each worker remembers for a second whether the kernel forwards. */
const REMEMBERED_MS = 1_100

t.setTimeout(90_000)

void t.test('a pod that forwards', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const router = await a.pod('router')
    const guest = await a.pod('guest', { protocol: 'TCP' })
    const server = await b.pod('server')
    const outsider = await b.pod('outsider', { protocol: 'TCP' })
    for (const pod of [guest, server, outsider]) startNginx(mesh, pod)
    await putBehind(router, guest)
    await routeTo(GUEST, a, { v4: router.v4, v6: router.v6 })
    await routeTo(GUEST, b, { v4: '192.168.50.1', v6: 'fd50::1' })
    await eventually('forwarded', async () => (await guest.curl(outsider.v6, WEB_PORT)).stdout.includes(GUEST.v6))
    await mesh.up()

    await t.test('what comes from behind it arrives from its sender', async (t) => {
      for (const pod of [outsider, server]) t.same(await seenBy(pod, guest), [GUEST.v4, GUEST.v6], pod.name)
      t.match(await a.proxy.access({ 'dst.addr': `${outsider.v4}:${WEB_PORT}` }), {
        direction: 'inbound',
        'src.addr': /^10\.9\.0\.2:/,
        'dst.workload': 'router',
      })
    })

    await t.test('and what goes to those behind it', async (t) => {
      for (const [to, from] of [
        [GUEST.v4, outsider.v4],
        [GUEST.v6, outsider.v6],
      ] as const)
        t.equal(await answer(outsider, to), `guest says ${SECRET} to ${from}`)
    })

    await t.test('a port that the proxy and the sender both choose is no matter', async (t) => {
      const range = '/proc/sys/net/ipv4/ip_local_port_range'
      const before = await router.must(['cat', range])
      await router.must(['sh', '-c', `echo 40000 40000 > ${range}`])
      t.match(await answer(guest, outsider.v4, ['--local-port', '40000']), SECRET)
      await router.must(['sh', '-c', `echo ${before.trim()} > ${range}`])
    })

    await t.test('a destination that refuses is refused at once', async (t) => {
      t.notOk((await guest.curl(outsider.v4, CLOSED_PORT)).ok)
      const line = await a.proxy.access({ 'dst.addr': `${outsider.v4}:${CLOSED_PORT}`, level: 'error' })
      t.match(line['error'], /ECONNREFUSED/)
    })

    await t.test('a loop of routes makes no loop of connections', async (t) => {
      await must([...inside(a.place.namespace), 'ip', 'route', 'add', LOST, 'via', router.v4])
      await must([...inside(b.place.namespace), 'ip', 'route', 'add', LOST, 'via', '192.168.50.1'])
      t.notOk((await outsider.curl(LOST, WEB_PORT, '/', ['-m', '2'])).ok)
      const dialled = await router.must(['ss', '-Htn', 'dst', LOST])
      t.equal(dialled.trim().split('\n').length, 1, dialled)
    })

    await t.test('packets with a foreign source are looked at strictly: nothing changes', async (t) => {
      await router.must(['sh', '-c', 'for i in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $i; done'])
      t.equal(await answer(guest, outsider.v4), `outsider says ${SECRET} to ${GUEST.v4}`)
      t.equal(await answer(outsider, GUEST.v4), `guest says ${SECRET} to ${outsider.v4}`)
    })

    await t.test('where the kernel does not forward, neither does the proxy', async (t) => {
      await forward(router, false)
      await setTimeout(REMEMBERED_MS)
      for (const to of [outsider.v4, outsider.v6]) {
        t.notOk((await guest.curl(to, WEB_PORT)).ok, `nothing goes to ${to}`)
        const dst = to.includes(':') ? `[${to}]:${WEB_PORT}` : `${to}:${WEB_PORT}`
        t.ok(await a.proxy.access({ 'dst.addr': dst, error: /this pod forwards no packets/ }))
      }
      await forward(router, true)
      await setTimeout(REMEMBERED_MS)
      for (const to of [outsider.v4, outsider.v6]) t.ok((await guest.curl(to, WEB_PORT)).ok, `${to} can be reached`)
    })

    await t.test('where the pod hides those behind it, they are hidden', async (t) => {
      await router.must(['nft', '-f', '-'], {
        input: 'table inet hide { chain c { type nat hook postrouting priority srcnat; oif "eth0" masquerade; }; }',
      })
      t.same(await seenBy(outsider, guest), [router.v4, router.v6])
    })

    await t.test("the pod's policy is asked", async (t) => {
      mesh.policies.push({
        name: 'no-guests',
        namespace: 'default',
        scope: 'Namespace',
        action: 'Deny',
        dryRun: false,
        rules: [[[{ sourceIps: [`${GUEST.v4}/32`] }]]],
      })
      mesh.save()
      await eventually('refused', async () => !(await guest.curl(outsider.v4, WEB_PORT)).ok)
      // Refused when it came, or ended because it came just before.
      t.match(await a.proxy.access({ 'src.addr': /^10\.9\.0\.2:/, error: /policy (?:rejection|change)/ }), {
        'dst.workload': 'router',
      })
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

async function answer(from: Pod, host: string, flags: readonly string[] = []): Promise<string> {
  const { stdout, stderr } = await from.curl(host, WEB_PORT, '/', flags)
  return stdout.trim() || stderr.trim()
}

/** A wire between the two is all that the guest has; the router forwards for it. */
async function putBehind(router: Pod, guest: Pod): Promise<void> {
  await guest.must(['ip', 'link', 'del', 'eth0'])
  const [outer, inner] = [router.place.namespace, guest.place.namespace]
  await must(['ip', 'link', 'add', 'behind', 'netns', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', inner])
  for (const [pod, { v4, v6 }, wire] of [
    [router, ROUTER, 'behind'],
    [guest, GUEST, 'eth0'],
  ] as const) {
    const input = `addr add ${v4}/30 dev ${wire}\naddr add ${v6}/64 dev ${wire} nodad\nlink set ${wire} up\n`
    await pod.must(['ip', '-batch', '-'], { input })
  }
  for (const via of [ROUTER.v4, ROUTER.v6]) await guest.must(['ip', 'route', 'add', 'default', 'via', via])
  await forward(router, true)
}

async function forward(router: Pod, on: boolean): Promise<void> {
  const files = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding']
  await router.must(['sh', '-c', files.map((file) => `echo ${Number(on)} > ${file}`).join('; ')])
}

async function routeTo(guest: typeof GUEST, node: TestNode, via: typeof GUEST): Promise<void> {
  for (const [to, by] of [
    [guest.v4, via.v4],
    [guest.v6, via.v6],
  ] as const)
    await must([...inside(node.place.namespace), 'ip', 'route', 'add', to, 'via', by])
}
