// What ztunnel asks of Linux, in real namespaces: entering, sockets inside, rules, and what the kernel does with a queue.
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { silentLog } from '@ambit/shared/log'
import { selectIo } from '@ambit/shared/io'
import {
  isAssigned,
  isForwarding,
  listenTcp,
  NetworkNamespace,
  PORT_WINDOWS,
  prepareTcp,
  primeThreadPool,
  Redirection,
  type ListenOptions,
} from '../../ztunnel/src/linux/index.ts'
import { IN_POD_TABLE } from '../../ztunnel/src/linux/in-pod-rules.ts'
import { nftGeneration } from '../../ztunnel/src/linux/nft-generation.ts'
import { libcGetsockopt, SOL_TCP } from '../../ztunnel/src/linux/libc.ts'
import { applyNft, digestOfTable } from '../../ztunnel/src/linux/nftables.ts'
import { newFifo } from '../../shared/src/config-file/fifo-fixture.ts'
import { eventually, TestMesh } from '../kit/index.ts'

const PORT = 9_000
const TCP_NODELAY = 1
const LISTEN: ListenOptions = {
  address: '::',
  port: PORT,
  backlog: 128,
  mark: 1_337,
  reusePort: true,
  transparent: true,
  keepAlive: { timeS: 77, intervalS: 5, retries: 3 },
  userTimeoutMs: undefined,
}

void t.test('namespaces, sockets and rules', async (t) => {
  await primeThreadPool()
  const mesh = await TestMesh.create()
  const io = await selectIo({ log: silentLog })
  const node = await mesh.node('a')
  const pod = await node.pod('pod')
  const bare = await node.pod('bare')
  const inPod = NetworkNamespace.open(pod.netns)
  const inBare = NetworkNamespace.open(bare.netns)
  const at = NetworkNamespace.open('/proc/thread-self/ns/net')
  try {
    await t.test('a visit is inside, what follows is at home again, also after an error', async (t) => {
      const home = Object.keys(networkInterfaces())
      const there = inPod.run(() => Object.values(networkInterfaces()).flatMap((found) => found ?? []))
      t.ok(there.some(({ address }) => address === pod.v4))
      t.throws(() => inPod.run(fail), /in the pod/)
      t.same(Object.keys(networkInterfaces()), home)
    })

    await t.test(
      'a pod has its addresses, also one that the kernel still looks for elsewhere, and no others',
      async (t) => {
        // Nobody answers there: it stays as it is for a while.
        await pod.must(['sh', '-c', 'echo 100 > /proc/sys/net/ipv6/conf/eth0/dad_transmits'])
        await pod.must(['ip', 'addr', 'add', 'fd01:99::1/128', 'dev', 'eth0'])
        t.match(await pod.must(['ip', 'addr', 'show', 'tentative']), 'fd01:99::1')
        for (const address of [pod.v4, pod.v6, 'fd01:99::1']) t.ok(isAssigned(inPod, address), address)
        for (const address of [bare.v4, bare.v6, node.v4, 'fd01:99::2']) t.notOk(isAssigned(inPod, address), address)
        await pod.must(['ip', 'addr', 'del', 'fd01:99::1/128', 'dev', 'eth0'])
      },
    )

    await t.test('a namespace forwards where one of 64 interfaces does', async (t) => {
      const set = (name: string, value: 0 | 1): Promise<string> =>
        pod.must(['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/conf/${name}/forwarding`])
      t.notOk(isForwarding(inPod, 4))
      t.notOk(isForwarding(inPod, 6))
      await set('eth0', 1)
      t.ok(isForwarding(inPod, 4))
      t.notOk(isForwarding(inPod, 6))
      await set('eth0', 0)
      const pairs = Array.from({ length: 40 }, (_, n) => `link add one${n} type veth peer name two${n}\n`)
      await pod.must(['ip', '-batch', '-'], { input: pairs.join('') })
      const names = (await pod.must(['ls', '-U', '/proc/sys/net/ipv4/conf'])).trim().split('\n')
      await set(names.findLast((name) => name !== 'all' && name !== 'default') ?? '', 1)
      t.notOk(isForwarding(inPod, 4), 'more are not looked at')
      await set('all', 1)
      t.ok(isForwarding(inPod, 4))
      await set('all', 0)
      await pod.must(['ip', '-batch', '-'], { input: pairs.map((_, n) => `link del one${n}\n`).join('') })
    })

    await t.test('a visit at home stays there', async (t) => {
      const own = NetworkNamespace.own()
      t.equal(own.id, at.id)
      t.not(own.id, inPod.id)
      const home = Object.keys(networkInterfaces())
      t.same(
        own.run(() => Object.keys(networkInterfaces())),
        home,
      )
      t.throws(() => own.run(fail), /in the pod/)
      own.close()
    })

    await t.test('what is no network namespace is refused by name', async (t) => {
      t.throws(() => NetworkNamespace.open('/run/netns/there-is-none'), /there-is-none cannot be opened: there is no/)
      t.throws(() => NetworkNamespace.open('/etc/hostname'), /\/etc\/hostname is no network namespace/)
      t.throws(() => NetworkNamespace.open('/proc/self/ns/mnt'), /is no network namespace/)
      t.throws(() => NetworkNamespace.open('/dev/zero'), /\/dev\/zero is no network namespace/)
      const fifo = mesh.files.path('fifo')
      newFifo(t, fifo)
      t.throws(() => NetworkNamespace.open(fifo), /fifo is no network namespace/)
    })

    await t.test('a socket tells which namespace it is of', async (t) => {
      const { fd } = listenTcp(inPod, LISTEN)
      const found = NetworkNamespace.ofSocket(fd)
      t.equal(found.id, inPod.id)
      t.not(found.id, at.id)
      found.close()
      t.throws(() => listenTcp(inPod, { ...LISTEN, reusePort: false }), { code: 'EADDRINUSE' })
      io.adopt(fd).close()
    })

    await t.test('accepted connections have the keepalive of their listener and delay nothing', async (t) => {
      const { fd } = listenTcp(inPod, LISTEN)
      const accepted: { readonly fd: number; destroy(reset?: boolean): void }[] = []
      const listener = io.listen(io.adopt(fd), 128, (end) => accepted.push(end))
      const client = prepareTcp(inPod, { family: 4, mark: undefined, keepAlive: undefined, userTimeoutMs: undefined })
      const connected = await io.connect(client, { address: pod.v4, port: PORT }, { timeoutMs: 5_000 })
      await eventually('accepted', () => accepted.length === 1)
      const sockets = await pod.must(['ss', '-Htno', 'state', 'established', 'sport', '=', `:${PORT}`])
      t.match(sockets, /timer:\(keepalive,1min1\dsec/)
      const [noDelay, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])]
      t.equal(libcGetsockopt(accepted[0]?.fd ?? -1, SOL_TCP, TCP_NODELAY, noDelay, length), 0)
      t.equal(noDelay.readInt32LE(), 1)
      for (const end of [...accepted, connected]) end.destroy()
      // Until it is closed it may get connections that are meant for the next one.
      listener.close()
      await listener.closed
    })

    await t.test('the port of a dialled connection is of the window that was asked for', async (t) => {
      const listener = io.listen(io.adopt(listenTcp(inPod, LISTEN).fd), 128, (end) => end.destroy())
      const options = { family: 4, mark: undefined, keepAlive: undefined, userTimeoutMs: undefined } as const
      for (const portWindow of [0, PORT_WINDOWS - 1]) {
        const fd = prepareTcp(inPod, { ...options, source: pod.v4, portWindow })
        const end = await io.connect(fd, { address: pod.v4, port: PORT }, { timeoutMs: 5_000 })
        t.equal(Math.floor((end.local.port - 32_768) / 1_024), portWindow, `port ${end.local.port}`)
        end.destroy()
      }
      listener.close()
    })

    await t.test('a script of rules is taken whole or not at all', async (t) => {
      await applyNft(inPod, 'add table inet ours\nadd chain inet ours c\n')
      const before = await digestOfTable(inPod, 'ours')
      const generation = nftGeneration(inPod)
      await t.rejects(applyNft(inPod, 'delete table inet ours\nadd rule inet nowhere c accept'), {
        message: /nft -f - failed: .*(No such file|does not exist)/,
      })
      t.equal(await digestOfTable(inPod, 'ours'), before)
      t.equal(nftGeneration(inPod), generation, 'nothing has changed')
      await applyNft(inPod, 'delete table inet ours')
      t.not(nftGeneration(inPod), generation)
      t.equal(await digestOfTable(inPod, 'ours'), undefined)
    })

    await t.test('a pod without IPv6 is redirected for IPv4', async (t) => {
      await bare.must(['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'])
      const redirection = new Redirection(inBare, { packetMark: 1_337 })
      await redirection.install()
      t.same(await redirection.mend(), [])
      t.match(await bare.must(['ip', 'rule']), /fwmark 0x111\/0xfff lookup 100/)
      await redirection.remove()
      await redirection.remove()
      t.same(await redirection.mend(), [], 'what was removed is not put back')
      t.notMatch(await bare.must(['ip', 'rule']), /lookup 100/)
      t.equal(await digestOfTable(inBare, IN_POD_TABLE), undefined)
    })

    await t.test('a table into which somebody has put more than is looked at is made anew', async (t) => {
      const redirection = new Redirection(inPod, { packetMark: 1_337 })
      await redirection.install()
      const before = await pod.must(['nft', 'list', 'ruleset'])
      const elements = Array.from({ length: 30_000 }, (_, n) => `10.0.${n >> 8}.${n & 255} . 10.0.0.1 . ${n}`)
      const set = `inet ${IN_POD_TABLE} huge`
      await applyNft(
        inPod,
        `add set ${set} { type ipv4_addr . ipv4_addr . inet_service ; }\nadd element ${set} { ${elements.join()} }\n`,
      )
      t.same(await redirection.mend(), ['rules'])
      t.same(await redirection.mend(), [])
      t.equal(await pod.must(['nft', 'list', 'ruleset']), before)
      await redirection.remove()
    })

    await t.test('connections that wait at a listener that closes move to its successor', async (t) => {
      const redirection = new Redirection(inPod, { packetMark: 1_337 })
      await redirection.install()
      t.equal((await pod.must(['cat', '/proc/sys/net/ipv4/tcp_migrate_req'])).trim(), '1')
      await redirection.remove()
      const first = io.adopt(listenTcp(inPod, LISTEN).fd)
      const options = { family: 4, mark: undefined, keepAlive: undefined, userTimeoutMs: undefined } as const
      const clients = await Promise.all(
        Array.from({ length: 20 }, () =>
          io.connect(prepareTcp(inPod, options), { address: pod.v4, port: PORT }, { timeoutMs: 5_000 }),
        ),
      )
      const accepted: { destroy(): void }[] = []
      const second = io.listen(io.adopt(listenTcp(inPod, LISTEN).fd), 128, (end) => {
        accepted.push(end)
      })
      first.close()
      await eventually('the successor has them', () => accepted.length === 20)
      const established = await pod.must(['ss', '-Htn', 'state', 'established', 'dport', '=', `:${PORT}`])
      t.equal(established.trim().split('\n').length, 20, 'and none was reset')
      for (const end of [...accepted, ...clients]) end.destroy()
      second.close()
    })
  } finally {
    for (const namespace of [inPod, inBare, at]) namespace.close()
    t.same(await mesh.close(), [])
  }
})

function fail(): never {
  throw new Error('in the pod')
}
