import t from 'tap'
import type { SocketAddress } from '@ambit/shared/ip'
import type { GatewayAddress, MeshResource, Workload } from '@ambit/shared/mesh'
import { meshOf, ofService, ofWorkload, service, vip, workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import { parseAuthority } from '../connect-headers/index.ts'
import { resolveInbound, routeOutbound, type OutboundRequest, type OutboundRoute } from './index.ts'

const SOURCE = workload('source', { workloadIps: ['10.0.0.1', 'fd00::1'] })
const KEY = 'default/web.default.svc'
const SERVER = workload('server', { workloadIps: ['10.0.1.1', 'fd01::1'], services: { [KEY]: { 80: 8080 } } })
const WEB = service('web', { vips: [vip('10.96.0.1'), vip('fd96::1')] })

function waypoint(address: string): GatewayAddress {
  return { destination: { kind: 'address', network: '', address }, hboneMtlsPort: 15_008 }
}

function waypointNamed(hostname: string): GatewayAddress {
  return { destination: { kind: 'hostname', namespace: 'default', hostname }, hboneMtlsPort: 15_008 }
}

function route(
  resources: readonly MeshResource[],
  target: string,
  fields: Partial<OutboundRequest> = {},
): OutboundRoute {
  const { address, port } = parseTarget(target)
  return routeOutbound(meshOf(ofWorkload(SOURCE), ...resources), {
    source: SOURCE,
    sourceAddress: '10.0.0.1',
    destination: { address, port },
    network: '',
    trustDomain: 'cluster.local',
    random: () => 0.5,
    ...fields,
  })
}

function parseTarget(text: string): SocketAddress {
  const found = parseAuthority(text)
  if (found?.kind !== 'address') throw new Error(`no target: ${text}`)
  return found
}

/** One line that says where it goes. */
function told(route: OutboundRoute): string {
  if (route.kind === 'refuse') return `refuse: ${route.message}`
  if (route.kind === 'unresolved') {
    return `IPv${route.family} of ${route.workload.hostname}, then ${told(route.at('203.0.113.7'))}`
  }
  const dial = `${route.dial.address} ${route.dial.port}`
  if (route.kind !== 'hbone') return `${route.kind} ${dial}`
  return `hbone ${dial} for ${route.authority} as ${route.identities.map((id) => id.serviceAccount).join(',')}`
}

void t.test('outbound: workloads by address, over HBONE where they speak it', async (t) => {
  const mesh = [ofWorkload(SERVER)]
  t.equal(told(route(mesh, '10.0.1.1:5432')), 'hbone 10.0.1.1 15008 for 10.0.1.1:5432 as server')
  t.equal(told(route(mesh, '[fd01::1]:80')), 'hbone fd01::1 15008 for [fd01::1]:80 as server')
  t.equal(told(route([ofWorkload({ ...SERVER, protocol: 'TCP' })], '10.0.1.1:5432')), 'tcp 10.0.1.1 5432')
  t.equal(told(route(mesh, '192.168.7.7:80')), 'passthrough 192.168.7.7 80', 'nobody that is known')
  t.equal(
    told(route(mesh, '10.0.1.1:80', { exclude: new Set(['server']) })),
    'refuse: no healthy upstream: 10.0.1.1:80',
  )
})

void t.test('outbound: services by VIP, with target ports and the names that the service vouches for', async (t) => {
  const mesh = [ofService(WEB), ofWorkload(SERVER)]
  t.equal(told(route(mesh, '10.96.0.1:80')), 'hbone 10.0.1.1 15008 for 10.0.1.1:8080 as server')
  t.equal(
    told(route(mesh, '[fd96::1]:80')),
    'hbone fd01::1 15008 for [fd01::1]:8080 as server',
    'of the family asked for',
  )
  t.equal(told(route(mesh, '10.96.0.1:81')), 'refuse: no healthy upstream: 10.96.0.1:81')
  t.equal(told(route([ofService(WEB)], '10.96.0.1:80')), 'refuse: no healthy upstream: 10.96.0.1:80')
  const vouching = { ...WEB, subjectAltNames: ['spiffe://cluster.local/ns/default/sa/also', 'nonsense'] }
  t.equal(
    told(route([ofService(vouching), ofWorkload(SERVER)], '10.96.0.1:80')),
    'hbone 10.0.1.1 15008 for 10.0.1.1:8080 as server,also',
  )
  const passing = {
    ...WEB,
    loadBalancer: { mode: 'Passthrough', routingPreferences: [], healthPolicy: 'OnlyHealthy' },
  } as const
  t.equal(told(route([ofService(passing), ofWorkload(SERVER)], '10.96.0.1:80')), 'passthrough 10.96.0.1 80')
})

void t.test('outbound: a service with a waypoint goes there with its own address, and never past it', async (t) => {
  const gateway = workload('gw', { workloadIps: ['10.0.2.1'] })
  const guarded = { ...WEB, waypoint: waypoint('10.0.2.1') }
  t.equal(
    told(route([ofService(guarded), ofWorkload(SERVER), ofWorkload(gateway)], '10.96.0.1:80')),
    'hbone 10.0.2.1 15008 for 10.96.0.1:80 as gw',
  )
  t.match(told(route([ofService(guarded), ofWorkload(SERVER)], '10.96.0.1:80')), /^refuse: unknown waypoint/)
  const byName = { ...WEB, waypoint: waypointNamed('gw.default.svc') }
  const gatewayService = service('gw', { vips: [vip('10.96.0.9')], ports: { 15008: 15008 } })
  const member = { ...gateway, services: { 'default/gw.default.svc': {} } }
  t.equal(
    told(route([ofService(byName), ofService(gatewayService), ofWorkload(member)], '10.96.0.1:80')),
    'hbone 10.0.2.1 15008 for 10.96.0.1:80 as gw',
  )
  const weighted = {
    ...WEB,
    waypoint: waypoint('10.0.2.9'),
    weightedWaypoints: [
      { destination: waypoint('10.0.2.1'), weight: 1 },
      { destination: waypoint('10.0.2.2'), weight: 3 },
    ],
  }
  const two = workload('gw2', { workloadIps: ['10.0.2.2'] })
  const resources = [ofService(weighted), ofWorkload(gateway), ofWorkload(two)]
  t.match(told(route(resources, '10.96.0.1:80', { random: () => 0.1 })), /as gw$/)
  t.match(told(route(resources, '10.96.0.1:80', { random: () => 0.9 })), /as gw2$/)
})

void t.test('outbound: a workload with a waypoint too, unless the waypoint itself calls', async (t) => {
  const guarded = { ...SERVER, waypoint: waypoint('10.0.2.1') }
  const gateway = workload('gw', { workloadIps: ['10.0.2.1'] })
  const mesh = [ofWorkload(guarded), ofWorkload(gateway)]
  t.equal(told(route(mesh, '10.0.1.1:80')), 'hbone 10.0.2.1 15008 for 10.0.1.1:80 as gw')
  t.equal(
    told(route(mesh, '10.0.1.1:80', { source: gateway, sourceAddress: '10.0.2.1' })),
    'hbone 10.0.1.1 15008 for 10.0.1.1:80 as server',
  )
  t.match(
    told(route(mesh, '10.0.1.1:80', { source: gateway, sourceAddress: '10.6.6.6' })),
    /^hbone 10.0.2.1 /,
    'from another address it is not the waypoint',
  )
  t.match(told(route([ofWorkload(guarded)], '10.0.1.1:80')), /^refuse: unknown waypoint/)
  const behind = { ...guarded, services: { [KEY]: { 80: 8080 } } }
  t.equal(
    told(route([ofService(WEB), ofWorkload(behind), ofWorkload(gateway)], '10.96.0.1:80')),
    'hbone 10.0.1.1 15008 for 10.0.1.1:8080 as server',
    'addressed by the service: the workload’s waypoint does not count',
  )
})

void t.test(
  'outbound: what is on another network or has no address that is allowed is refused, never sent in plaintext',
  async (t) => {
    const remote = (fields: Partial<Workload>): readonly MeshResource[] => [
      ofService(WEB),
      ofWorkload({ ...SERVER, ...fields }),
    ]
    t.match(told(route(remote({ network: 'n2' }), '10.96.0.1:80')), /^refuse: .*another network/)
    t.match(
      told(
        route(
          [ofService({ ...WEB, ipFamilies: 'IPv6' }), ofWorkload({ ...SERVER, workloadIps: ['10.0.1.1'] })],
          '10.96.0.1:80',
        ),
      ),
      /^refuse: no valid destination/,
    )
  },
)

function named(fields: Partial<Workload> = {}): MeshResource {
  return ofWorkload({ ...SERVER, workloadIps: [], hostname: 'db.example', ...fields })
}

void t.test('outbound: who has only a hostname is resolved; it counts like an address for all else', async (t) => {
  t.equal(
    told(route([ofService(WEB), named()], '10.96.0.1:80')),
    'IPv4 of db.example, then hbone 203.0.113.7 15008 for 203.0.113.7:8080 as server',
  )
  t.equal(
    told(route([ofService(WEB), named({ protocol: 'TCP' })], '[fd96::1]:80')),
    'IPv6 of db.example, then tcp 203.0.113.7 8080',
  )
  t.equal(
    told(route([ofService(WEB), named({ workloadIps: ['10.0.1.1'] })], '[fd96::1]:80')),
    'hbone 10.0.1.1 15008 for 10.0.1.1:8080 as server',
    'an address of the other family comes before a name',
  )
  t.equal(
    told(route([ofService({ ...WEB, ipFamilies: 'IPv6' }), named({ workloadIps: ['10.0.1.1'] })], '10.96.0.1:80')),
    'IPv4 of db.example, then hbone 203.0.113.7 15008 for 203.0.113.7:8080 as server',
    'but not one that the service does not allow',
  )
  t.match(told(route([ofService(WEB), named({ network: 'n2' })], '10.96.0.1:80')), /^refuse: .*another network/)
  const gateway = ofWorkload(workload('gw', { hostname: 'gw.example', services: { 'default/gw.default.svc': {} } }))
  const through = 'then hbone 203.0.113.7 15008 for 10.96.0.1:80 as gw'
  t.equal(
    told(route([ofService({ ...WEB, waypoint: waypointNamed('gw.example') }), gateway], '10.96.0.1:80')),
    `IPv4 of gw.example, ${through}`,
    'a waypoint by its own hostname',
  )
  const gatewayService = service('gw', { vips: [vip('fd96::9')], ports: { 15008: 15008 } })
  const behindVip = { ...WEB, waypoint: waypoint('fd96::9') }
  t.equal(
    told(route([ofService(behindVip), ofService(gatewayService), gateway], '10.96.0.1:80')),
    `IPv6 of gw.example, ${through}`,
    'a waypoint by a virtual address: of the family of that',
  )
})

const LOCAL = workload('local', { workloadIps: ['10.0.1.1'], services: { [KEY]: { 80: 8080 } } })

function inbound(
  authority: string,
  fields: {
    local?: Workload
    mesh?: readonly MeshResource[]
    forwardedHost?: string
    localhostAppTunnel?: boolean
  } = {},
): string {
  const { local = LOCAL, mesh = [], forwardedHost, localhostAppTunnel = true } = fields
  const parsed = parseAuthority(authority)
  if (!parsed) return 'no authority'
  const found = resolveInbound(meshOf(ofWorkload(local), ofService(WEB), ...mesh), {
    local,
    connection: { address: '10.0.1.1', port: 15_008 },
    authority: parsed,
    network: '',
    forwardedHost,
    localhostAppTunnel,
  })
  if (found.kind === 'refuse') return `${found.status} ${found.message}`
  const proxied = found.proxyTarget ? ` for ${found.proxyTarget.address}:${found.proxyTarget.port}` : ''
  return `${found.dial.address}:${found.dial.port}${proxied} of ${found.service?.name ?? 'no service'}`
}

void t.test('inbound: the own address, or a hostname whose port is known', async (t) => {
  t.equal(inbound('10.0.1.1:8080'), '10.0.1.1:8080 of web')
  t.equal(inbound('10.0.1.1:9999'), '10.0.1.1:9999 of no service')
  t.equal(inbound('web.default.svc:80'), '10.0.1.1:8080 of web')
  t.equal(inbound('web.default.svc:81'), '503 requested service web.default.svc:81 found, but cannot resolve port')
  t.equal(inbound('nobody.example:80'), '503 no service or workload for hostname: nobody.example')
  const wild = service('wild', { hostname: '*.wild.example', ports: { 80: 8080 } })
  t.equal(inbound('*.wild.example:80', { mesh: [ofService(wild)] }), '10.0.1.1:8080 of wild', 'by just that name')
  t.equal(
    inbound('a.wild.example:80', { mesh: [ofService(wild)] }),
    '503 no service or workload for hostname: a.wild.example',
  )
  t.equal(inbound('10.0.9.9:8080'), '400 ip mismatch: 10.0.1.1 != 10.0.9.9')
  for (const port of [15_001, 15_006, 15_008]) t.match(inbound(`10.0.1.1:${port}`), /^503 attempted recursive call/)
})

void t.test('inbound: another address only at its waypoint', async (t) => {
  const behind = workload('b', { workloadIps: ['10.0.5.5'], waypoint: waypoint('10.0.1.1') })
  t.equal(inbound('10.0.5.5:80', { mesh: [ofWorkload(behind)] }), '10.0.1.1:80 of no service')
  t.match(inbound('10.0.5.5:80', { mesh: [ofWorkload({ ...behind, waypoint: waypoint('10.0.7.7') })] }), /^400/)
  t.match(inbound('10.0.5.5:80', { mesh: [ofWorkload({ ...behind, waypoint: undefined })] }), /^400/)
  const guarded = service('guarded', { vips: [vip('10.96.5.5')], waypoint: waypointNamed('web.default.svc') })
  t.equal(
    inbound('10.96.5.5:80', { mesh: [ofService(guarded)] }),
    '10.0.1.1:80 of no service',
    'we are an endpoint of its waypoint',
  )
})

void t.test('inbound: an app tunnel takes every port, and is told the target where it speaks PROXY', async (t) => {
  t.equal(inbound('10.9.9.9:80', { local: tunnelled('NONE', 15_088) }), '10.0.1.1:15088 of no service')
  t.equal(
    inbound('10.9.9.9:80', { local: tunnelled('PROXY', 15_088) }),
    '127.0.0.1:15088 for 10.9.9.9:80 of no service',
  )
  t.equal(
    inbound('10.9.9.9:80', { local: tunnelled('PROXY', 15_088), localhostAppTunnel: false }),
    '10.0.1.1:15088 for 10.9.9.9:80 of no service',
  )
  t.equal(inbound('10.0.1.1:0', { local: tunnelled('NONE', 15_088) }), '10.0.1.1:15088 of no service')
  t.equal(inbound('10.0.1.1:8080', { local: tunnelled('NONE') }), '10.0.1.1:8080 of web')
  t.equal(
    inbound('web.default.svc:80', { local: tunnelled('PROXY', 15_088) }),
    '127.0.0.1:15088 for 10.96.0.1:80 of no service',
  )
})

void t.test('inbound: the service is the one that the client named, else one with that port', async (t) => {
  const other = service('other', { ports: { 90: 8080 } })
  const local = { ...LOCAL, services: { ...LOCAL.services, 'default/other.default.svc': {} } }
  const mesh = [ofService(other)]
  t.equal(inbound('10.0.1.1:8080', { local, mesh, forwardedHost: 'other.default.svc' }), '10.0.1.1:8080 of other')
  t.equal(inbound('10.0.1.1:8080', { local, mesh, forwardedHost: 'stranger' }), '10.0.1.1:8080 of web')
})

function tunnelled(protocol: 'NONE' | 'PROXY', port?: number): Workload {
  return { ...LOCAL, applicationTunnel: { protocol, port } }
}
