import t from 'tap'
import {
  chooseAddress,
  chooseEndpoint,
  targetPort,
  type Endpoint,
  type LoadBalancer,
  type MeshResource,
  type PortMap,
  type Service,
  type Workload,
} from './index.ts'
import { meshOf, ofService, ofWorkload, service, workload } from './mesh-fixture.ts'

const SOURCE = workload('source', {
  workloadIps: ['10.0.0.1'],
  locality: { region: 'r1', zone: 'z1', subzone: 's1' },
  node: 'a',
  clusterId: 'one',
})
const KEY = 'default/web.default.svc'

function behind(uid: string, fields: Partial<Workload> = {}): MeshResource {
  return ofWorkload(workload(uid, { workloadIps: ['10.0.1.1'], services: { [KEY]: {} }, ...fields }))
}

/** The endpoints that can come out, over all random numbers, with how often of a hundred. */
function chances(
  fields: Partial<Service>,
  workloads: readonly MeshResource[],
  options: {
    readonly port?: number
    readonly purpose?: 'standard' | 'waypoint'
    readonly exclude?: readonly string[]
  } = {},
): Readonly<Record<string, number>> {
  const web = service('web', fields)
  const mesh = meshOf(ofService(web), ...workloads)
  const found: Record<string, number> = {}
  for (let i = 0; i < 100; i++) {
    const choice = chooseEndpoint(mesh, web, {
      source: SOURCE,
      servicePort: options.port ?? 80,
      purpose: options.purpose ?? 'standard',
      random: () => (i + 0.5) / 100,
      exclude: new Set(options.exclude),
    })
    if (choice) found[choice.workload.uid] = (found[choice.workload.uid] ?? 0) + 1
  }
  return found
}

function balanced(
  mode: LoadBalancer['mode'],
  ...routingPreferences: LoadBalancer['routingPreferences']
): Partial<Service> {
  return { loadBalancer: { mode, routingPreferences, healthPolicy: 'OnlyHealthy' } }
}

void t.test('endpoints are chosen by their capacity; none of 0', async (t) => {
  const all = [behind('one'), behind('three', { capacity: 3 }), behind('none', { capacity: 0 })]
  t.same(chances({}, all), { one: 25, three: 75 })
  t.same(chances({}, [behind('none', { capacity: 0 })]), {})
  t.same(chances({}, all, { exclude: ['three'] }), { one: 100 }, 'one that was tried')
  t.same(chances({}, all, { exclude: ['three', 'one'] }), {})
})

void t.test('unhealthy endpoints and unknown workloads are left out', async (t) => {
  const sick = behind('sick', { status: 'Unhealthy' })
  t.same(chances({}, [sick, behind('well')]), { well: 100 })
  t.same(chances({}, [sick]), {})
  t.same(chances({ loadBalancer: { mode: 'Standard', routingPreferences: [], healthPolicy: 'AllowAll' } }, [sick]), {
    sick: 100,
  })
  t.same(chances({ endpoints: { ghost: { workloadUid: 'ghost', port: {}, status: 'Healthy' } } }, []), {})
})

void t.test('a port that the service has not is nobody’s', async (t) => {
  t.same(chances({}, [behind('w')], { port: 81 }), {})
  t.same(chances({ ports: { 80: 0 } }, [behind('w')]), {}, 'a named port that the endpoint does not map')
  t.same(chances({ ports: { 80: 0 } }, [behind('w', { services: { [KEY]: { 80: 9090 } } })]), { w: 100 })
})

void t.test(
  'the port to dial: the endpoint’s own, else the service’s, else the same where an app tunnel takes it',
  async (t) => {
    const web = service('web', { ports: { 80: 8080, 81: 0 } })
    const tunnel = workload('w', { applicationTunnel: { protocol: 'PROXY', port: 15_088 } })
    t.equal(targetPort(web, { endpoint: mapping({ 80: 9090 }), workload: workload('w') }, 80), 9090)
    t.equal(targetPort(web, { endpoint: mapping({}), workload: workload('w') }, 80), 8080)
    t.equal(targetPort(web, { endpoint: mapping({}), workload: workload('w') }, 81), undefined)
    t.equal(targetPort(web, { endpoint: mapping({}), workload: tunnel }, 81), 81)
  },
)

void t.test('a workload without address is reached by name, or by a gateway of another network', async (t) => {
  const gateway = {
    destination: { kind: 'address', network: 'n2', address: '1.2.3.4' },
    hboneMtlsPort: 15_008,
  } as const
  t.same(chances({}, [behind('w', { workloadIps: [] })]), {})
  t.same(chances({}, [behind('w', { workloadIps: [], hostname: 'example.com' })]), { w: 100 })
  t.same(chances({}, [behind('w', { workloadIps: [], networkGateway: gateway })]), {}, 'of our own network')
  t.same(chances({}, [behind('w', { workloadIps: [], networkGateway: gateway, network: 'n2' })]), { w: 100 })
})

void t.test('failover keeps those that match most preferences, strict only those that match all', async (t) => {
  const near = behind('near', { locality: { region: 'r1', zone: 'z1', subzone: 'other' } })
  const zone = behind('zone', { locality: { region: 'r1', zone: 'other', subzone: '' } })
  const far = behind('far', { locality: { region: 'r9', zone: 'z1', subzone: 's1' } })
  t.same(chances(balanced('Failover', 'Region', 'Zone'), [near, zone, far]), { near: 100 })
  t.same(chances(balanced('Failover', 'Region', 'Zone'), [zone, far]), { zone: 100 })
  t.same(chances(balanced('Failover', 'Region', 'Zone'), [far]), { far: 100 }, 'the last resort')
  t.same(chances(balanced('Strict', 'Region', 'Zone'), [near, zone, far]), { near: 100 })
  t.same(chances(balanced('Strict', 'Region', 'Zone'), [zone, far]), {})
  t.same(chances(balanced('Standard', 'Region', 'Zone'), [near, far]), { near: 50, far: 50 })
  t.same(chances(balanced('Strict', 'Node'), [behind('here', { node: 'a' }), behind('there', { node: 'b' })]), {
    here: 100,
  })
  t.same(chances(balanced('Strict', 'Cluster', 'Subzone'), [far, behind('other', { clusterId: 'two' })]), { far: 100 })
})

void t.test('endpoints of another network are nobody’s choice while our own has one', async (t) => {
  const remote = behind('remote', { network: 'n2', capacity: 99 })
  t.same(chances({}, [remote, behind('w')]), { w: 100 })
  t.same(chances(balanced('Failover', 'Region'), [remote, behind('w')]), { w: 100 })
  t.same(chances({}, [remote, behind('w')], { exclude: ['w'] }), { remote: 100 }, 'so that it is said why')
})

void t.test(
  'where the network comes first, the own one outranks everything, and others are still ordered',
  async (t) => {
    const preferences = balanced('Failover', 'Network', 'Region', 'Zone')
    const own = behind('own', { locality: { region: 'r9', zone: 'z9', subzone: '' } })
    const remoteNear = behind('remote-near', { network: 'n2', locality: { region: 'r1', zone: 'z1', subzone: '' } })
    const remoteFar = behind('remote-far', { network: 'n2', locality: { region: 'r9', zone: 'z1', subzone: '' } })
    t.same(chances(preferences, [remoteNear, own, remoteFar]), { own: 100 })
    t.same(chances(preferences, [remoteNear, remoteFar]), { 'remote-near': 100 })
  },
)

void t.test('for a waypoint the port may be unknown to the service where an app tunnel takes it', async (t) => {
  const gateway = behind('gateway', { applicationTunnel: { protocol: 'PROXY', port: 15_088 } })
  t.same(chances({}, [behind('plain')], { port: 15_008, purpose: 'waypoint' }), {})
  t.same(chances({}, [gateway], { port: 15_008, purpose: 'waypoint' }), { gateway: 100 })
  t.same(chances({}, [gateway], { port: 15_008 }), {}, 'not for others')
})

void t.test('which endpoints count for port 80, by the service, the endpoint and its app tunnel', async (t) => {
  const none = undefined
  const tunnel = { protocol: 'PROXY', port: 15_088 } as const
  const portless = { protocol: 'PROXY', port: undefined } as const
  const table: readonly (readonly [
    ports: PortMap,
    own: PortMap,
    applicationTunnel: Workload['applicationTunnel'],
    standard: number | undefined,
    waypoint: number | undefined,
  ])[] = [
    // The service has the port.
    [{ 80: 8080 }, {}, none, 8080, 8080],
    [{ 80: 8080 }, { 80: 9090 }, none, 9090, 9090],
    [{ 80: 8080 }, {}, tunnel, 8080, 8080],
    // It has it by name only.
    [{ 80: 0 }, {}, none, undefined, undefined],
    [{ 80: 0 }, { 80: 9090 }, none, 9090, 9090],
    [{ 80: 0 }, { 80: 9090 }, tunnel, 9090, 9090],
    [{ 80: 0 }, {}, tunnel, undefined, 80],
    [{ 80: 0 }, {}, portless, undefined, undefined],
    // It has not.
    [{}, {}, none, undefined, undefined],
    [{}, { 80: 9090 }, none, undefined, undefined],
    [{}, { 80: 9090 }, tunnel, undefined, 9090],
    [{}, { 80: 9090 }, portless, undefined, 9090],
    [{}, {}, tunnel, undefined, 80],
    [{}, {}, portless, undefined, undefined],
  ]
  for (const [ports, own, applicationTunnel, standard, waypoint] of table) {
    const web = service('web', { ports })
    const mesh = meshOf(ofService(web), behind('w', { services: { [KEY]: own }, applicationTunnel }))
    const port = (purpose: 'standard' | 'waypoint') =>
      chooseEndpoint(mesh, web, { source: SOURCE, servicePort: 80, purpose, random: () => 0 })?.targetPort
    const what = JSON.stringify({ ports, own, applicationTunnel })
    t.equal(port('standard'), standard, `standard ${what}`)
    t.equal(port('waypoint'), waypoint, `waypoint ${what}`)
  }
})

void t.test('the address to dial: the target itself, else of its family, as the service allows', async (t) => {
  const dual = workload('w', { workloadIps: ['10.0.0.1', 'fd00::1'] })
  t.equal(chooseAddress(dual, 'fd00::1', 'IPv4'), 'fd00::1', 'addressed by it')
  t.equal(chooseAddress(dual, '10.96.0.1'), '10.0.0.1')
  t.equal(chooseAddress(dual, 'fd96::1'), 'fd00::1')
  t.equal(chooseAddress(dual, 'fd96::1', 'IPv4'), '10.0.0.1')
  t.equal(chooseAddress(dual, undefined, 'IPv6'), 'fd00::1')
  t.equal(chooseAddress(workload('w', { workloadIps: ['10.0.0.1'] }), 'fd96::1'), '10.0.0.1')
  t.equal(chooseAddress(workload('w', { workloadIps: ['10.0.0.1'] }), 'fd96::1', 'IPv6'), undefined)
  t.equal(chooseAddress(workload('w'), '10.96.0.1'), undefined)
})

function mapping(port: PortMap): Endpoint {
  return { workloadUid: 'w', port, status: 'Healthy' }
}
