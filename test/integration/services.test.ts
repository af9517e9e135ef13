// Services: who answers a virtual address, what happens when some cannot, and how the local file changes it all at run time.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, TestMesh, type AccessLine, type Pod } from '../kit/index.ts'

const VIP = '10.96.0.1'
const VIP_V6 = 'fd96::1'
const EMPTY_VIP = '10.96.0.2'
const SERVICE = 'default/shop.default.svc.cluster.local'
const HOSTNAME = 'shop.default.svc.cluster.local'
const ASKED = 24

t.setTimeout(90_000)

void t.test('services of two nodes', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const client = await a.pod('client')
    // Uses nothing before its story: it has no tunnels yet that it could use again.
    const newcomer = await a.pod('newcomer')
    client.record['locality'] = { region: 'west', zone: 'w1', subzone: '' }
    const services = { [SERVICE]: { 80: WEB_PORT } }
    const near = await a.pod('near', { services })
    near.record['locality'] = { region: 'west', zone: 'w1', subzone: '' }
    const east1 = await b.pod('east1', { services })
    const east2 = await b.pod('east2', { services: { [SERVICE]: { 80: WEB_PORT, 81: WEB_PORT } } })
    const west2 = await b.pod('west2', { services })
    west2.record['locality'] = { region: 'west', zone: 'w2', subzone: '' }
    for (const pod of [east1, east2]) pod.record['locality'] = { region: 'east', zone: 'e1', subzone: '' }
    const servers = [near, east1, east2, west2]
    const nginx = new Map(servers.map((pod) => [pod, startNginx(mesh, pod)]))
    const service: Record<string, unknown> = {
      name: 'shop',
      namespace: 'default',
      hostname: HOSTNAME,
      vips: [`/${VIP}`, `/${VIP_V6}`],
      ports: { 80: WEB_PORT, 81: 0 },
    }
    mesh.services.push(service, {
      name: 'empty',
      namespace: 'default',
      hostname: 'empty.default.svc.cluster.local',
      vips: [`/${EMPTY_VIP}`],
      ports: { 80: WEB_PORT },
    })
    const talker = await Talker.start(client)
    const fresh = await Talker.start(newcomer)
    await mesh.up()

    /** Who answered, for some requests in one go; those that failed are `failed`. */
    async function answers(host = VIP, port = 80, count = ASKED, by = client): Promise<ReadonlySet<string>> {
      const urls = Array.from({ length: count }, () => `http://${host.includes(':') ? `[${host}]` : host}:${port}/`)
      // Without keep-alive: each request is a connection of its own, and so a choice of its own.
      const { stdout } = await by.run(
        [
          'curl',
          '-sS',
          '-gZ',
          '--parallel-immediate',
          '--noproxy',
          '*',
          '-m',
          '20',
          '-H',
          'connection: close',
          ...urls,
        ],
        { timeoutMs: 40_000 },
      )
      const names = stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ')[0] ?? '']))
      return new Set([...names, ...(names.length === count ? [] : ['failed'])])
    }

    /** Waits until exactly these pods answer, all of them and no other. */
    async function answering(pods: readonly Pod[], host = VIP): Promise<void> {
      const wanted = pods
        .map(({ name }) => name)
        .toSorted()
        .join(' ')
      let last = ''
      await eventually(`only ${wanted} answer`, async () => {
        last = [...(await answers(host))].toSorted().join(' ')
        if (last !== wanted) throw new Error(`${last} answered`)
        return true
      })
    }

    await t.test('a virtual address reaches every endpoint on every node, at its target port', async (t) => {
      await answering(servers)
      await answering(servers, VIP_V6)
      for (const [node, direction] of [
        [a, 'outbound'],
        [b, 'inbound'],
      ] as const) {
        const line = await node.proxy.access({ direction, 'dst.workload': 'east1', 'dst.service': HOSTNAME })
        t.equal(line['dst.identity'], east1.identity)
        if (direction === 'outbound') t.equal(line['dst.hbone_addr'], `${east1.v4}:${WEB_PORT}`)
      }
      const labels = { reporter: 'source', destination_service: HOSTNAME, destination_workload: 'east2' }
      t.ok((await a.proxy.metric('istio_tcp_connections_opened_total', labels)) > 0)
    })

    await t.test('a named port is served by the endpoint alone that knows its number', async (t) => {
      t.strictSame(await answers(VIP, 81), new Set(['east2']))
    })

    await t.test('a headless service is its pods, each with its own address', async (t) => {
      service['vips'] = []
      mesh.save()
      await eventually('the virtual address is gone', async () => {
        const { proxy } = a
        return !(await proxy.get(15_000, '/config_dump')).includes(VIP_V6)
      })
      t.strictSame(await answers(west2.v4, WEB_PORT, 2), new Set(['west2']))
      service['vips'] = [`/${VIP}`, `/${VIP_V6}`]
      mesh.save()
      await eventually('the virtual address is back', async () => {
        return (await a.proxy.get(15_000, '/config_dump')).includes(VIP_V6)
      })
      await answering(servers)
    })

    await t.test('an endpoint that is not healthy gets nothing, unless all are allowed', async () => {
      east1.record['status'] = 'Unhealthy'
      mesh.save()
      await answering([near, east2, west2])
      service['loadBalancer'] = { routingPreferences: [], mode: 'Standard', healthPolicy: 'AllowAll' }
      mesh.save()
      await answering(servers)
      east1.record['status'] = 'Healthy'
      delete service['loadBalancer']
      mesh.save()
    })

    await t.test('locality: the nearest first, then the next, and with Strict nobody else', async (t) => {
      service['loadBalancer'] = { routingPreferences: ['Region', 'Zone'], mode: 'Failover' }
      mesh.save()
      await answering([near])
      near.record['status'] = 'Unhealthy'
      mesh.save()
      await answering([west2])
      west2.record['status'] = 'Unhealthy'
      mesh.save()
      await answering([east1, east2])
      service['loadBalancer'] = { routingPreferences: ['Region', 'Zone'], mode: 'Strict' }
      mesh.save()
      await eventually('nobody answers', async () => [...(await answers(VIP, 80, 2))].join(' ') === 'failed')
      const line = await a.proxy.access({ message: 'connection failed', 'dst.addr': `${VIP}:80` })
      t.match(line, { level: 'warn', error: `no healthy upstream: ${VIP}:80` })
      for (const pod of [near, west2]) pod.record['status'] = 'Healthy'
      delete service['loadBalancer']
      mesh.save()
      await answering(servers)
    })

    await t.test('an endpoint whose program is away: another one is tried, and the log tells', async (t) => {
      const failures = (): Promise<number> =>
        a.proxy.metric('istio_tcp_connections_failed_total', { reporter: 'source' })
      const before = await failures()
      await nginx.get(east1)?.stop()
      await answering([near, east2, west2])
      const line = await a.proxy.access({ message: 'endpoint not reached, trying another', error: /503/ })
      t.equal(line['dst.addr'], `${east1.v4}:15008`)
      t.equal(await failures(), before, 'none failed')
    })

    await t.test('an endpoint that is silent: the client is served by another after a while', async (t) => {
      await east1.must(['nft', '-f', '-'], { input: DROP_HBONE })
      east1.record['capacity'] = 1_000_000
      mesh.save()
      await eventually('nearly all of it is for the silent one', async () => {
        return (await a.proxy.get(15_000, '/config_dump')).includes('1000000')
      })
      fresh.open('direct', east1.v4, WEB_PORT)
      const served = await answers(VIP, 80, 4, newcomer)
      t.ok(served.size > 0 && !served.has('east1') && !served.has('failed'), [...served].join(' '))
      const line = await a.proxy.access({ message: 'endpoint not reached, trying another', error: /timed out/ })
      t.equal(line['dst.addr'], `${east1.v4}:15008`)
      await fresh.heard('direct', /^error ECONNRESET/)
      const labels = { reporter: 'source', response_flags: 'NETWORK_POLICY' }
      t.equal(await a.proxy.metric('istio_tcp_connections_failed_total', labels), 1, 'who asked for it alone is told')
      delete east1.record['capacity']
      mesh.save()
      await east1.must(['nft', 'delete', 'table', 'inet', 'silent'])
    })

    await t.test('every endpoint refuses: a few are tried, then the client is told', async (t) => {
      await Promise.all([...nginx.values()].map((program) => program.stop()))
      const refusals = (): number => [a, b].flatMap(({ proxy }) => proxy.lines).filter(isInboundRefusal).length
      const before = refusals()
      talker.open('nobody', VIP, 80)
      await talker.heard('nobody', /^error ECONNRESET/)
      const line = await a.proxy.access({ direction: 'outbound', error: /503/, 'dst.service': HOSTNAME })
      t.equal(line.level, 'error')
      await eventually('three were tried', () => refusals() - before === 3)
      for (const pod of servers) nginx.set(pod, startNginx(mesh, pod))
      await answering(servers)
    })

    await t.test('a service without endpoints refuses at once', async (t) => {
      talker.open('empty', EMPTY_VIP, 80)
      await talker.heard('empty', /^error ECONNRESET/)
      const line = await a.proxy.access({ 'dst.addr': `${EMPTY_VIP}:80` })
      t.match(line, { message: 'connection failed', error: `no healthy upstream: ${EMPTY_VIP}:80` })
    })

    await t.test('endpoints come and go with the file', async () => {
      west2.record['services'] = {}
      near.record['services'] = {}
      mesh.save()
      await answering([east1, east2])
      delete west2.record['services']
      delete near.record['services']
      mesh.save()
      await answering(servers)
    })

    await t.test('an edit that is wrong is reported with its line, and the last good state stays', async (t) => {
      const good = readFileSync(mesh.files.path('mesh.yaml'), 'utf8')
      const lines = good.split('\n')
      const at = lines.findIndex((line) => line.includes('protocol: HBONE'))
      mesh.files.write('mesh.yaml', lines.with(at, '    protocol: CARRIER-PIGEON').join('\n'))
      await eventually('the mistake is reported', () => reports(a.proxy.lines).length === 1)
      t.match(reports(a.proxy.lines)[0], {
        level: 'error',
        file: 'mesh.yaml',
        error: new RegExp(`^${at + 1}:\\d+ workloads\\[0\\].protocol: must be one of TCP, HBONE`),
      })
      await answering(servers)
      mesh.files.write('mesh.yaml', 'workloads: [')
      await eventually('text that is no YAML is reported', () => reports(a.proxy.lines).length === 2)
      await answering(servers)
      east2.record['services'] = {}
      mesh.save()
      await answering([near, east1, west2])
      t.pass('the next good edit counts')
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

/** What reaches the pod's HBONE port vanishes. */
const DROP_HBONE = `table inet silent {
  chain input { type filter hook input priority -300; tcp dport 15008 drop; }
}
`

function isInboundRefusal({ direction, error }: Readonly<Record<string, unknown>>): boolean {
  return direction === 'inbound' && String(error).includes('ECONNREFUSED')
}

function reports(lines: readonly AccessLine[]): readonly AccessLine[] {
  return lines.filter(({ message }) => message === 'file not taken over, the last good state stays')
}
