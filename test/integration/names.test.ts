// Workloads that have a hostname and no address, as a ServiceEntry of DNS names makes them: a real name server on the node's
// own loopback, where nobody comes to from a pod.
import t from 'tap'
import { startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh, type Pod } from '../kit/index.ts'

const ZONE = 'corp.test'
/** Where a name server is asked for in vain: an address of the fabric that nobody has. */
const NOBODY = '192.168.50.77'
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
    const a = await mesh.addNode('a')
    const b = await mesh.addNode('b')
    const client = await mesh.addPod(a, 'client')
    const passing = await mesh.addPod(a, 'passing')
    let lastVip = 0

    /** A service at a virtual address of its own whose endpoints are names; answers the address. */
    function serviceOf(name: string): string {
      const vip = `10.96.7.${++lastVip}`
      const hostname = `${name}.example`
      mesh.services.push({ name, namespace: 'default', hostname, vips: [`/${vip}`], ports: { 80: WEB_PORT } })
      return vip
    }

    /** A pod that the mesh knows by its name only: in the zone it has `addresses`, or it is not there. */
    async function named(name: string, service: string, protocol: 'TCP' | 'HBONE'): Promise<Pod> {
      const services = { [`default/${service}.example`]: { 80: WEB_PORT } }
      const pod = await mesh.addPod(b, name, { services, protocol })
      Object.assign(pod.record, { workloadIps: [], hostname: `${name}.${ZONE}` })
      startNginx(mesh, pod)
      return pod
    }

    const plainVip = serviceOf('plain')
    const plain = await named('external', 'plain', 'TCP')
    const meshedVip = serviceOf('meshed')
    const meshed = await named('internal', 'meshed', 'HBONE')
    const posedVip = serviceOf('posed')
    const posed = await named('posed', 'posed', 'HBONE')
    const sixVip = serviceOf('six')
    const six = await named('six', 'six', 'TCP')
    const linkVip = serviceOf('link')
    const link = await named('link', 'link', 'TCP')
    const goneVip = serviceOf('vanished')
    const gone = await named('gone', 'vanished', 'TCP')
    const muteVip = serviceOf('silent')
    const mute = await named('mute', 'silent', 'TCP')
    const someVip = serviceOf('some')
    const there = await named('there', 'some', 'TCP')
    const away = await named('away', 'some', 'TCP')
    // Nearly always the first choice.
    away.record['capacity'] = 1_000_000
    const lostVip = serviceOf('lost')
    for (const name of ['lost1', 'lost2', 'lost3', 'lost4']) await named(name, 'lost', 'TCP')

    const records = [plain, meshed, there].map((pod) => `--host-record=${pod.name}.${ZONE},${pod.v4},${pod.v6},60`)
    const zone = [
      `--local=/${ZONE}/`,
      ...records,
      `--host-record=${six.name}.${ZONE},${six.v6},60`,
      `--host-record=${link.name}.${ZONE},fe80::1,60`,
      `--host-record=${posed.name}.${ZONE},${meshed.v4},60`,
    ]
    const dns = mesh.startOn(a, 'dnsmasq', [
      'dnsmasq',
      '--no-daemon',
      '--no-resolv',
      '--no-hosts',
      '--conf-file=/dev/null',
      '--bind-interfaces',
      '--listen-address=127.0.0.1',
      '--log-queries',
      ...zone,
      `--server=/mute.${ZONE}/${NOBODY}`,
    ])
    await dns.says(/started/)
    const asked = (name: string): number => dns.output.split(`] ${name}.${ZONE} from`).length - 1

    for (const pod of [client, passing, meshed, posed]) pod.isEnrolled = true
    await mesh.startCa()
    const resolvConf = mesh.files.write('resolv.conf', RESOLV_CONF)
    await Promise.all([
      mesh.startZtunnel(a, {}, { under: ['sh', '-c', WITH_RESOLV_CONF, resolvConf, process.execPath] }),
      mesh.startZtunnel(b),
    ])
    await mesh.captured()
    const talker = await Talker.start(passing)

    await t.test('outside of the mesh: plain TCP to the address of the name', async (t) => {
      t.match((await client.curl(plainVip, 80)).stdout, /^external says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'external' })
      t.match(line, { level: 'info', 'dst.addr': `${plain.v4}:${WEB_PORT}`, 'dst.service': 'plain.example' })
    })

    await t.test('in the mesh: HBONE, to the identity of the workload', async (t) => {
      t.match((await client.curl(meshedVip, 80)).stdout, /^internal says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'internal' })
      t.match(line, {
        'dst.addr': `${meshed.v4}:15008`,
        'dst.hbone_addr': `${meshed.v4}:${WEB_PORT}`,
        'dst.identity': meshed.identity,
      })
    })

    await t.test('in the mesh a name server cannot send it to somebody else', async (t) => {
      t.notOk((await client.curl(posedVip, 80)).ok)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'posed' })
      t.match(line, { level: 'error', 'dst.addr': `${meshed.v4}:15008`, error: new RegExp(meshed.identity) })
    })

    await t.test('a name that has IPv6 addresses only', async (t) => {
      t.match((await client.curl(sixVip, 80)).stdout, /^six says/)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'six' })
      t.equal(line['dst.addr'], `[${six.v6}]:${WEB_PORT}`)
    })

    await t.test('a link-local address, which means nothing without an interface, is refused at once', async (t) => {
      t.notOk((await client.curl(linkVip, 80)).ok)
      const line = await a.proxy.access({ direction: 'outbound', 'dst.workload': 'link' })
      t.match(line['error'], /a link-local address takes an interface/)
    })

    await t.test('each use is counted, the name server is asked once in each worker', async (t) => {
      const uses = (): Promise<number> => {
        const source = { source_workload: 'client', source_principal: client.identity }
        return a.proxy.metric('istio_on_demand_dns_total', { ...source, hostname: `external.${ZONE}` })
      }
      const before = await uses()
      t.equal(before, 1)
      for (let count = 0; count < 5; count++) await client.curl(plainVip, 80)
      t.equal((await uses()) - before, 5)
      // For A and for AAAA.
      t.ok(asked('external') <= 2 * (await a.proxy.workers()).length, `asked ${asked('external')} times`)
      t.notMatch(dns.output, /cluster\.local/, 'and never with a search domain')
    })

    await t.test('a name that does not exist: the client is told, and the log says why', async (t) => {
      t.notOk((await client.curl(goneVip, 80)).ok)
      const line = await a.proxy.access({ message: 'connection failed', 'dst.addr': `${goneVip}:80` })
      t.match(line, {
        level: 'warn',
        error: `no ip addresses were resolved for workload: ${gone.uid} (gone.${ZONE}: there is no such name)`,
      })
    })

    await t.test('of several endpoints, those are used whose names have addresses', async (t) => {
      for (let count = 0; count < 3; count++) t.match((await client.curl(someVip, 80)).stdout, /^there says/)
      const line = await a.proxy.access({ message: 'endpoint not reached, trying another' })
      t.match(line, { 'dst.addr': `${away.name}.${ZONE}`, next: `${there.name}.${ZONE}`, error: /no such name/ })
    })

    await t.test('where none of them has, three are tried', async (t) => {
      t.notOk((await client.curl(lostVip, 80)).ok)
      await a.proxy.access({ message: 'connection failed', 'dst.addr': `${lostVip}:80`, error: /no such name/ })
      const passedOver = a.proxy.lines.filter((line) => String(line['dst.addr']).startsWith('lost'))
      t.equal(passedOver.length, 2)
    })

    await t.test('a client that resets its connection does not wait for a silent name server', async () => {
      talker.open('impatient', muteVip, 80)
      await eventually('the connection is among the open ones', async () => {
        return (await a.proxy.get(15_000, '/config_dump')).includes(`"actualDst": "mute.${ZONE}"`)
      })
      talker.reset('impatient')
      await a.proxy.access({
        'dst.addr': `${muteVip}:80`,
        error: 'client disconnected before its destination was reached',
      })
    })

    await t.test('nor does the connection of a pod that is taken out of the mesh', async () => {
      const before = asked('mute')
      talker.open('abandoned', muteVip, 80)
      await eventually('it is asked for', () => asked('mute') > before)
      await mesh.enrol([passing], false)
      await a.proxy.access({ 'dst.addr': `${muteVip}:80`, error: 'connection closed due to connection drain' })
    })

    await t.test('who waits for a silent name server is told in time', async (t) => {
      t.notOk((await client.curl(muteVip, 80)).ok)
      const error = `no ip addresses were resolved for workload: ${mute.uid} (mute.${ZONE}: no name server answered in time)`
      await a.proxy.access({ 'dst.addr': `${muteVip}:80`, error })
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})
