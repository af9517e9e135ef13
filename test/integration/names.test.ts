// Workloads that have a hostname and no address, as a ServiceEntry of DNS names makes them: a real name server on the node's
// own loopback, where nobody comes to from a pod.
import t from 'tap'
import { WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh } from '../kit/index.ts'
import { nameIn, NamedServices } from './named-services.ts'

/** What a pod of Kubernetes finds there (dnsPolicy ClusterFirst): names with less than five dots are tried with these first. */
const RESOLV_CONF = `nameserver 127.0.0.1
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
`
/** Runs a program that finds another /etc/resolv.conf; `ip netns exec` has given it mounts of its own. */
const WITH_RESOLV_CONF = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'

t.setTimeout(90_000)

void t.test('names instead of addresses', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const client = await a.pod('client')
    const passing = await a.pod('passing')
    const names = new NamedServices(mesh, b)

    const external = await names.single('external')
    const internal = await names.single('internal', { protocol: 'HBONE' })
    const posed = await names.single('posed', { protocol: 'HBONE', addresses: () => [internal.pod.v4] })
    const six = await names.single('six', { addresses: ({ v6 }) => [v6] })
    const link = await names.single('link', { addresses: () => ['fe80::1'] })
    const gone = await names.single('gone', { addresses: () => [] })
    const mute = await names.single('mute', { addresses: 'silence' })
    const some = names.service('some')
    await names.endpoint('some', 'there')
    const away = await names.endpoint('some', 'away', { addresses: () => [] })
    // Nearly always the first choice.
    away.record['capacity'] = 1_000_000
    const lost = names.service('lost')
    for (const name of ['lost1', 'lost2', 'lost3', 'lost4']) await names.endpoint('lost', name, { addresses: () => [] })
    const dns = await names.serve(a)

    for (const pod of [client, passing, internal.pod, posed.pod]) pod.isEnrolled = true
    await mesh.startCa()
    const resolvConf = mesh.files.write('resolv.conf', RESOLV_CONF)
    await Promise.all([
      mesh.startZtunnel(a, {}, { under: ['sh', '-c', WITH_RESOLV_CONF, resolvConf, process.execPath] }),
      mesh.startZtunnel(b),
    ])
    await mesh.captured()
    const talker = await Talker.start(passing)

    await t.test('outside of the mesh: plain TCP to the address of the name', async (t) => {
      t.match((await client.curl(external.vip, 80)).stdout, /^external says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'external' })
      t.match(line, { level: 'info', 'dst.addr': `${external.pod.v4}:${WEB_PORT}`, 'dst.service': 'external.example' })
    })

    await t.test('in the mesh: HBONE, to the identity of the workload', async (t) => {
      t.match((await client.curl(internal.vip, 80)).stdout, /^internal says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'internal' })
      t.match(line, {
        'dst.addr': `${internal.pod.v4}:15008`,
        'dst.hbone_addr': `${internal.pod.v4}:${WEB_PORT}`,
        'dst.identity': internal.pod.identity,
      })
    })

    await t.test('in the mesh a name server cannot send it to somebody else', async (t) => {
      t.notOk((await client.curl(posed.vip, 80)).ok)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'posed' })
      t.match(line, {
        level: 'error',
        'dst.addr': `${internal.pod.v4}:15008`,
        error: new RegExp(internal.pod.identity),
      })
    })

    await t.test('a name that has IPv6 addresses only', async (t) => {
      t.match((await client.curl(six.vip, 80)).stdout, /^six says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'six' })
      t.equal(line['dst.addr'], `[${six.pod.v6}]:${WEB_PORT}`)
    })

    await t.test('a link-local address, which means nothing without an interface, is refused at once', async (t) => {
      t.notOk((await client.curl(link.vip, 80)).ok)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'link' })
      t.match(line['error'], /a link-local address takes an interface/)
    })

    await t.test('each use is counted, the name server is asked once in each worker', async (t) => {
      const uses = (): Promise<number> => {
        const source = { source_workload: 'client', source_principal: client.identity }
        return a.proxy.metric('istio_on_demand_dns_total', { ...source, hostname: nameIn('external') })
      }
      const before = await uses()
      t.equal(before, 1)
      for (let count = 0; count < 5; count++) await client.curl(external.vip, 80)
      t.equal((await uses()) - before, 5)
      // For A and for AAAA.
      const asked = dns.asked('external')
      t.ok(asked >= 2 && asked <= 2 * (await a.proxy.workers()).length, `asked ${asked} times`)
      t.notMatch(dns.output, /cluster\.local/, 'and never with a search domain')
    })

    await t.test('a name that does not exist: the client is told, and the log says why', async (t) => {
      t.notOk((await client.curl(gone.vip, 80)).ok)
      const line = await a.proxy.access({ message: 'connection failed', 'dst.addr': `${gone.vip}:80` })
      t.match(line, {
        level: 'warn',
        error: `no ip addresses were resolved for workload: ${gone.pod.uid} (${nameIn('gone')}: there is no such name)`,
      })
    })

    await t.test('of several endpoints, those are used whose names have addresses', async (t) => {
      for (let count = 0; count < 3; count++) t.match((await client.curl(some, 80)).stdout, /^there says/)
      const line = await a.proxy.access({ message: 'endpoint not reached, trying another' })
      t.match(line, { 'dst.addr': nameIn('away'), next: nameIn('there'), error: /no such name/ })
    })

    await t.test('where none of them has, three are tried', async (t) => {
      t.notOk((await client.curl(lost, 80)).ok)
      await a.proxy.access({ message: 'connection failed', 'dst.addr': `${lost}:80`, error: /no such name/ })
      const passedOver = a.proxy.lines.filter((line) => String(line['dst.addr']).startsWith('lost'))
      t.equal(passedOver.length, 2)
    })

    await t.test('a client that resets its connection does not wait for a silent name server', async () => {
      talker.open('impatient', mute.vip, 80)
      await eventually('the connection is among the open ones', async () => {
        return (await a.proxy.get(15_000, '/config_dump')).includes(`"actualDst": "${nameIn('mute')}"`)
      })
      talker.reset('impatient')
      await a.proxy.access({
        'dst.addr': `${mute.vip}:80`,
        error: 'client disconnected before its destination was reached',
      })
    })

    await t.test('nor does the connection of a pod that is taken out of the mesh', async () => {
      const before = dns.asked('mute')
      talker.open('abandoned', mute.vip, 80)
      await eventually('it is asked for', () => dns.asked('mute') > before)
      await mesh.enrol([passing], false)
      await a.proxy.access({ 'dst.addr': `${mute.vip}:80`, error: 'connection closed due to connection drain' })
    })

    await t.test('who waits for a silent name server is told in time', async (t) => {
      t.notOk((await client.curl(mute.vip, 80)).ok)
      const error = `no ip addresses were resolved for workload: ${mute.pod.uid} (${nameIn('mute')}: no name server answered in time)`
      await a.proxy.access({ 'dst.addr': `${mute.vip}:80`, error })
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})
