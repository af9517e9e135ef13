import * as fc from 'fast-check'
import t from 'tap'
import { keyOf, Mesh, type MeshResource, type Service, type Workload } from './index.ts'
import { parseCidr } from '../ip/index.ts'
import { Claimants } from './claimants.ts'
import { meshOf, ofPolicy, ofService, ofWorkload, policy, service, vip, workload } from './mesh-fixture.ts'

void t.test('an address leads to its workload: pods and HBONE first, then the newest', async (t) => {
  const pod = workload('cluster//Pod/default/pod', { workloadIps: ['10.0.0.1', 'fd00::1'] })
  const entry = workload('cluster/networking/WorkloadEntry/x', { workloadIps: ['10.0.0.1'] })
  const older = workload('cluster/e/1', { workloadIps: ['10.0.0.2'] })
  const newer = workload('cluster/e/2', { workloadIps: ['10.0.0.2'] })
  const plain = workload('cluster/e/3', { workloadIps: ['10.0.0.2'], protocol: 'TCP' })
  const mesh = meshOf(...[entry, pod, older, newer, plain].map(ofWorkload))
  t.equal(mesh.workloadByAddress('', '10.0.0.1'), pod)
  t.equal(mesh.workloadByAddress('', 'fd00::1'), pod)
  t.equal(mesh.workloadByAddress('other', '10.0.0.1'), undefined)
  t.equal(mesh.workloadByAddress('', '10.0.0.2'), newer)
  mesh.apply({ upserts: [], removals: [`workload/${newer.uid}`] })
  t.equal(mesh.workloadByAddress('', '10.0.0.2'), older)
  mesh.apply({ upserts: [ofWorkload({ ...pod, workloadIps: ['10.0.0.9'] })], removals: [] })
  t.equal(mesh.workloadByAddress('', '10.0.0.1'), entry, 'an address that moved away')
  t.equal(mesh.workloadByAddress('', 'fd00::1'), undefined)
})

void t.test('workloads on the host network are found by uid only', async (t) => {
  const mesh = meshOf(ofWorkload(workload('host', { workloadIps: ['10.0.0.1'], networkMode: 'HostNetwork' })))
  t.equal(mesh.workloadByAddress('', '10.0.0.1'), undefined)
  t.ok(mesh.workload('host'))
})

void t.test('a local workload is found by exactly its name, namespace and service account, on this node', async (t) => {
  const here = workload('u1', { name: 'pod', serviceAccount: 'sa' })
  const there = workload('u2', { name: 'far', serviceAccount: 'sa', node: 'b' })
  const mesh = meshOf(ofWorkload(here), ofWorkload(there))
  t.equal(mesh.localWorkload('default', 'pod', 'sa'), here)
  t.equal(mesh.localWorkload('default', 'pod', 'other'), undefined)
  t.equal(mesh.localWorkload('default', 'far', 'sa'), undefined)
  mesh.apply({ upserts: [ofWorkload({ ...here, name: 'renamed' })], removals: [] })
  t.equal(mesh.localWorkload('default', 'pod', 'sa'), undefined)
})

void t.test('an address leads to its service: the own namespace, else canonical, else the first', async (t) => {
  const first = service('a', { vips: [vip('10.96.0.1')] })
  const other = service('b', { vips: [vip('10.96.0.1')], namespace: 'shop' })
  const canonical = service('c', { vips: [vip('10.96.0.1')], namespace: 'x', canonical: true })
  const hidden = service('d', { vips: [vip('10.96.0.2')], namespace: 'private', visibility: 'Namespace' })
  const mesh = meshOf(...[first, other, canonical, hidden].map(ofService))
  t.equal(mesh.serviceByVip('', '10.96.0.1', 'shop'), other)
  t.equal(mesh.serviceByVip('', '10.96.0.1', 'nowhere'), canonical)
  mesh.apply({ upserts: [], removals: ['service/x/c.default.svc'] })
  t.equal(mesh.serviceByVip('', '10.96.0.1', 'nowhere'), first)
  t.equal(mesh.serviceByVip('', '10.96.0.2', 'nowhere'), undefined)
  t.equal(mesh.serviceByVip('', '10.96.0.2', 'private'), hidden)
  t.equal(mesh.serviceByVip('', '10.96.0.2'), hidden, 'nobody asks: nothing is hidden')
})

void t.test('of two services of one namespace at one address the later counts, while it is there', async (t) => {
  const [one, two] = [service('one', { vips: [vip('10.96.0.1')] }), service('two', { vips: [vip('10.96.0.1')] })]
  const elsewhere = service('far', { vips: [vip('10.96.0.1')], namespace: 'shop' })
  const mesh = meshOf(...[one, elsewhere, two].map(ofService))
  const told = (namespace?: string) => mesh.serviceByVip('', '10.96.0.1', namespace)?.name
  t.same([told('default'), told('nowhere'), told(), told('shop')], ['two', 'two', 'two', 'far'])
  mesh.apply({ upserts: [ofService({ ...two, visibility: 'Namespace' })], removals: [] })
  t.same([told('default'), told('nowhere')], ['two', 'far'], 'what is hidden still stands for its namespace')
  mesh.apply({ upserts: [ofService({ ...one, canonical: true })], removals: [] })
  t.same([told('default'), told('nowhere')], ['one', 'one'], 'one that came again is the later one')
  mesh.apply({ upserts: [], removals: ['service/default/one.default.svc'] })
  t.same([told('default'), told('nowhere')], ['two', 'far'])
  mesh.apply({ upserts: [], removals: ['service/default/two.default.svc', 'service/shop/far.default.svc'] })
  t.equal(told(), undefined)
})

void t.test('of ranges the longest counts, and an exact address before any', async (t) => {
  const range = (text: string) => ({ network: '', cidr: parseCidr(text) ?? t.fail(text) })
  const wide = service('wide', { cidrVips: [range('10.0.0.0/8'), range('fd00::/8')] as Service['cidrVips'] })
  const narrow = service('narrow', { cidrVips: [range('10.1.0.0/16')] as Service['cidrVips'] })
  const exact = service('exact', { vips: [vip('10.1.0.7')] })
  const all = service('all', { cidrVips: [range('0.0.0.0/0')] as Service['cidrVips'] })
  const mesh = meshOf(...[wide, narrow, exact, all].map(ofService))
  const name = (address: string): string | undefined => mesh.serviceByVip('', address)?.name
  t.equal(name('10.2.0.1'), 'wide')
  t.equal(name('10.1.0.1'), 'narrow')
  t.equal(name('10.1.0.7'), 'exact')
  t.equal(name('fd12::1'), 'wide')
  t.equal(name('192.168.0.1'), 'all')
  t.equal(name('fe80::1'), undefined)
  mesh.apply({ upserts: [], removals: ['service/default/narrow.default.svc', 'service/default/all.default.svc'] })
  t.equal(name('10.1.0.1'), 'wide')
  t.equal(name('192.168.0.1'), undefined)
})

void t.test('a record of the same pod under another uid outlives the one that goes', async (t) => {
  const [old, renamed] = ['u1', 'u2'].map((uid) => workload(uid, { name: 'pod', serviceAccount: 'sa' }))
  if (!old || !renamed) throw new Error('two records')
  const mesh = meshOf(ofWorkload(old), ofWorkload(renamed))
  const found = () => mesh.localWorkload('default', 'pod', 'sa')
  t.equal(found(), renamed, 'the newer')
  mesh.apply({ upserts: [], removals: ['workload/u2'] })
  t.equal(found(), old)
  mesh.apply({ upserts: [ofWorkload(renamed)], removals: ['workload/u1'] })
  t.equal(found(), renamed)
  mesh.apply({ upserts: [], removals: ['workload/u2'] })
  t.equal(found(), undefined)
})

void t.test('an address that many claim costs each of them the same', async (t) => {
  let asked = 0
  const claimants = new Claimants(({ uid }) => {
    asked++
    return Number(uid) % 2
  })
  const all = Array.from({ length: 4_000 }, (_, i) => workload(`${i}`))
  for (const one of all) claimants.add('a', one)
  t.equal(asked, all.length, 'nobody is ranked again when another comes')
  for (const one of all.slice(0, -3)) claimants.remove('a', one)
  t.equal(claimants.get('a')?.uid, '3999')
  for (const uid of ['3999', '3997', '3998']) {
    t.equal(claimants.get('a')?.uid, uid)
    claimants.remove('a', all[Number(uid)] ?? workload(uid))
  }
  t.equal(claimants.get('a'), undefined)
})

void t.test('a listener hears what each update touched, once', async (t) => {
  const mesh = new Mesh({ nodeName: undefined })
  const heard: string[] = []
  const stop = mesh.onChange(({ workloads, services, policies }) => {
    heard.push([...workloads, ...services, ...policies].join(' '))
  })
  mesh.apply({ upserts: [ofWorkload(workload('w')), ofService(service('s')), ofPolicy(policy('p'))], removals: [] })
  mesh.apply({ upserts: [], removals: ['workload/w', 'policy/default/p'] })
  stop()
  mesh.apply({ upserts: [], removals: ['service/default/s.default.svc'] })
  t.same(heard, ['w default/s.default.svc default/p', 'w default/p'])
  t.same(mesh.sizes, { workloads: 0, services: 0, policies: 0 })
})

const SERVICES = ['s0', 's1', 's2']
const uid = fc.constantFrom('w0', 'w1', 'w2', 'w3')
const aWorkload = fc.record({
  uid,
  ips: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'), { maxLength: 2 }),
  status: fc.constantFrom('Healthy' as const, 'Unhealthy' as const),
  of: fc.uniqueArray(fc.constantFrom(...SERVICES), { maxLength: 2 }),
})
const aService = fc.record({
  name: fc.constantFrom(...SERVICES),
  vip: fc.constantFrom('10.96.0.1', '10.96.0.2'),
  allowAll: fc.boolean(),
  names: fc.uniqueArray(uid, { maxLength: 2 }),
})
const step = fc.oneof(
  aWorkload.map((w): MeshResource | string =>
    ofWorkload(
      workload(w.uid, {
        workloadIps: w.ips,
        status: w.status,
        services: Object.fromEntries(w.of.map((name) => [`default/${name}.default.svc`, { 80: 1 }])),
      }),
    ),
  ),
  aService.map((s): MeshResource | string =>
    ofService(
      service(s.name, {
        vips: [vip(s.vip)],
        loadBalancer: s.allowAll ? { routingPreferences: [], mode: 'Standard', healthPolicy: 'AllowAll' } : undefined,
        endpoints: Object.fromEntries(
          s.names.map((name) => [name, { workloadUid: name, port: {}, status: 'Healthy' }]),
        ),
      }),
    ),
  ),
  uid.map((id): MeshResource | string => `workload/${id}`),
  fc.constantFrom(...SERVICES).map((name): MeshResource | string => `service/default/${name}.default.svc`),
)

void t.test('after any updates the indices say what a plain search over the resources says', async () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 }), (updates) => {
      const mesh = new Mesh({ nodeName: 'a' })
      const state = new Map<string, MeshResource>()
      for (const update of updates) {
        const removals = update.filter((item) => typeof item === 'string')
        const upserts = update.filter((item) => typeof item !== 'string')
        for (const key of removals) state.delete(key)
        for (const resource of upserts) {
          state.delete(keyOf(resource))
          state.set(keyOf(resource), resource)
        }
        mesh.apply({ upserts, removals })
        if (!agrees(mesh, [...state.values()])) return false
      }
      const copy = new Mesh({ nodeName: 'a' })
      copy.apply(mesh.snapshot())
      return agrees(copy, [...state.values()], false)
    }),
    { numRuns: 300 },
  )
})

/** `inOrder`: of several that claim an address, the newest counts; a snapshot does not keep who came last. */
function agrees(mesh: Mesh, state: readonly MeshResource[], inOrder = true): boolean {
  const workloads = state.flatMap((resource) => (resource.kind === 'workload' ? [resource.value] : []))
  const services = state.flatMap((resource) => (resource.kind === 'service' ? [resource.value] : []))
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) {
    const claimants = workloads.filter(({ workloadIps }) => workloadIps.includes(address))
    const found = mesh.workloadByAddress('', address)
    if (inOrder ? found !== claimants.at(-1) : (found === undefined) !== (claimants.length === 0)) return false
  }
  for (const one of services) if (endpoints(mesh, one) !== plainly(one, workloads)) return false
  return mesh.sizes.workloads === workloads.length && mesh.sizes.services === services.length
}

function endpoints(mesh: Mesh, one: Service): string {
  return mesh
    .endpointsOf(one)
    .map(({ workload: found }) => found.uid)
    .sort()
    .join(' ')
}

/** A workload behind the service by its own word, whose health counts, or by the service's. */
function plainly(one: Service, workloads: readonly Workload[]): string {
  const key = `${one.namespace}/${one.hostname}`
  const allowAll = one.loadBalancer?.healthPolicy === 'AllowAll'
  return workloads
    .filter(({ uid: id, services, status }) => {
      const claims = services[key] !== undefined
      const named = one.endpoints[id] !== undefined
      return (claims && (allowAll || status === 'Healthy')) || (named && !claims)
    })
    .map(({ uid: id }) => id)
    .sort()
    .join(' ')
}
