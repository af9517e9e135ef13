// Where connections go: Istio's own cases for building outbound and inbound requests, and what may be tried again.
import { Mesh, type Workload } from '@ambit/shared/mesh'
import { parseLocalFile } from '@ambit/shared/mesh/local'
import { formatSocketAddress } from '@ambit/shared/ip'
import t from 'tap'
import { parseAuthority } from '../connect-headers/index.ts'
import { resolveInbound, routeAgain, routeOutbound, type OutboundRequest, type OutboundRoute } from './index.ts'

function meshOf(yaml: string): Mesh {
  const mesh = new Mesh({ nodeName: 'local-node' })
  mesh.apply({ upserts: parseLocalFile(yaml), removals: [] })
  return mesh
}

function workloadOf(mesh: Mesh, address: string): Workload {
  const workload = mesh.workloadByAddress('', address)
  if (!workload) throw new Error(`no workload has ${address}`)
  return workload
}

/** One line: how it is carried, to where, and for HBONE what is asked for there; a refusal's message else. */
function outbound(mesh: Mesh, destination: string, exclude: readonly string[] = []): string {
  return told(routeOutbound(mesh, { ...requestFor(mesh, destination), exclude: new Set(exclude) }))
}

function requestFor(mesh: Mesh, destination: string): OutboundRequest {
  const target = parseAuthority(destination)
  if (target?.kind !== 'address') throw new Error(`${destination} is no address`)
  return {
    source: workloadOf(mesh, '127.0.0.1'),
    sourceAddress: '127.0.0.1',
    destination: target,
    network: '',
    trustDomain: 'cluster.local',
    random: () => 0,
  }
}

function told(route: OutboundRoute): string {
  if (route.kind === 'refuse') return route.message
  if (route.kind === 'unresolved') return `${route.becomes} by the name ${route.workload.hostname}`
  const asked = route.kind === 'hbone' ? ` for ${route.authority}` : ''
  return `${route.kind} ${formatSocketAddress(route.dial)}${asked}`
}

const OUTBOUND = `
workloads:
- {uid: source, name: source, namespace: ns, serviceAccount: source, workloadIps: [127.0.0.1, "::1"], node: local-node, services: {}}
- {uid: tcp, name: tcp, namespace: ns, workloadIps: [127.0.0.2], node: remote-node, services: {ns/svc: {}}}
- {uid: hbone, name: hbone, namespace: ns, workloadIps: [127.0.0.3, "ff06::3"], protocol: HBONE, node: remote-node, services: {ns/named: {80: 1234}}}
- {uid: near, name: near, namespace: ns, workloadIps: [127.0.0.4], protocol: HBONE, node: local-node, services: {ns/dual: {}}}
- {uid: guarded, name: guarded, namespace: ns, workloadIps: [127.0.0.5, "ff06::c3"], protocol: HBONE, services: {},
   waypoint: {destination: /127.0.0.10, hboneMtlsPort: 15008}}
- {uid: guarded6, name: guarded6, namespace: ns, workloadIps: ["ff06::c4"], protocol: HBONE, services: {},
   waypoint: {destination: /127.0.0.11, hboneMtlsPort: 15008}}
- {uid: lost, name: lost, namespace: ns, workloadIps: [127.0.0.6], protocol: HBONE, services: {},
   waypoint: {destination: /127.0.0.99, hboneMtlsPort: 15008}}
- {uid: waypoint, name: waypoint, namespace: ns, serviceAccount: waypoint, workloadIps: [127.0.0.10], protocol: HBONE, services: {}}
- {uid: waypoint-dual, name: waypoint-dual, namespace: ns, serviceAccount: waypoint, workloadIps: [127.0.0.11, "ff06::c5"], protocol: HBONE, services: {}}
- {uid: unnamed, name: unnamed, namespace: ns, workloadIps: [127.0.0.12], protocol: HBONE, services: {ns/named: {}}}
- {uid: remote, name: remote, namespace: ns, network: remote, workloadIps: [127.0.0.13], protocol: HBONE, services: {ns/far: {80: 8080}}}
- {uid: host1, name: host1, namespace: ns, networkMode: HostNetwork, workloadIps: [127.0.0.14], services: {ns/host: {80: 8081}}}
services:
- {name: svc, namespace: ns, hostname: svc, vips: [/127.0.1.1], ports: {80: 8080}}
- {name: named, namespace: ns, hostname: named, vips: [/127.0.1.2], ports: {80: 0}}
- {name: empty, namespace: ns, hostname: empty, vips: [/127.0.1.3], ports: {80: 80}}
- {name: behind, namespace: ns, hostname: behind, vips: [/127.0.1.4], ports: {80: 80}, waypoint: {destination: /127.0.0.10, hboneMtlsPort: 15008}}
- {name: far, namespace: ns, hostname: far, vips: [/127.0.1.5], ports: {80: 80}}
- {name: through, namespace: ns, hostname: through, vips: [/127.0.1.6], ports: {80: 80}, loadBalancer: {routingPreferences: [], mode: Passthrough}}
- {name: through-waypoint, namespace: ns, hostname: through-waypoint, vips: [/127.0.1.7], ports: {80: 80},
   loadBalancer: {routingPreferences: [], mode: Passthrough}, waypoint: {destination: /127.0.0.10, hboneMtlsPort: 15008}}
- {name: host, namespace: ns, hostname: host, vips: [/127.0.1.8], ports: {80: 80}}
- {name: dual, namespace: ns, hostname: dual, vips: [/127.0.1.9, "/ff06::9"], ports: {80: 8080}}
- {name: blocked, namespace: ns, hostname: blocked, vips: [/127.0.1.10], ports: {80: 80}, waypoint: {destination: ns/nowhere, hboneMtlsPort: 15008}}
`

void t.test('outbound: how each destination is reached', async (t) => {
  const mesh = meshOf(OUTBOUND)
  const cases: readonly (readonly [what: string, destination: string, route: string])[] = [
    ['an unknown address', '1.2.3.4:80', 'passthrough 1.2.3.4:80'],
    ['a workload outside of the mesh', '127.0.0.2:80', 'tcp 127.0.0.2:80'],
    ['a workload in the mesh', '127.0.0.3:80', 'hbone 127.0.0.3:15008 for 127.0.0.3:80'],
    ['by its IPv6 address', '[ff06::3]:80', 'hbone [ff06::3]:15008 for [ff06::3]:80'],
    ['on the same node', '127.0.0.4:80', 'hbone 127.0.0.4:15008 for 127.0.0.4:80'],
    ['a service', '127.0.1.1:80', 'tcp 127.0.0.2:8080'],
    ['a port that the service does not have', '127.0.1.1:81', 'no healthy upstream: 127.0.1.1:81'],
    ['a named port', '127.0.1.2:80', 'hbone 127.0.0.3:15008 for 127.0.0.3:1234'],
    ['a service without endpoints', '127.0.1.3:80', 'no healthy upstream: 127.0.1.3:80'],
    ['a service by IPv6 of an IPv4 workload', '[ff06::9]:80', 'hbone 127.0.0.4:15008 for 127.0.0.4:8080'],
    ['a service with a waypoint', '127.0.1.4:80', 'hbone 127.0.0.10:15008 for 127.0.1.4:80'],
    ['a service whose waypoint is not there', '127.0.1.10:80', 'unknown waypoint: ns/nowhere'],
    ['a workload with a waypoint', '127.0.0.5:80', 'hbone 127.0.0.10:15008 for 127.0.0.5:80'],
    ['with a waypoint of another family', '[ff06::c4]:80', 'hbone 127.0.0.11:15008 for [ff06::c4]:80'],
    ['a workload whose waypoint is not there', '127.0.0.6:80', 'unknown waypoint: /127.0.0.99'],
    ['a service that passes through', '127.0.1.6:80', 'passthrough 127.0.1.6:80'],
    ['one that passes through its waypoint', '127.0.1.7:80', 'hbone 127.0.0.10:15008 for 127.0.1.7:80'],
    ['a pod on the host network by its address', '127.0.0.14:80', 'passthrough 127.0.0.14:80'],
    ['a pod on the host network by its service', '127.0.1.8:80', 'tcp 127.0.0.14:8081'],
  ]
  for (const [what, destination, route] of cases) t.equal(outbound(mesh, destination), route, what)
  t.match(outbound(mesh, '127.0.1.5:80'), /network "remote"/, 'another network is refused, not dialled directly')
})

const nobody = (destination: string): string => `no healthy upstream: ${destination}`

void t.test('outbound: what was tried is not tried again, and nothing else becomes plaintext by that', async (t) => {
  const mesh = meshOf(OUTBOUND)
  t.equal(outbound(mesh, '127.0.0.3:80', ['hbone']), nobody('127.0.0.3:80'), 'a workload has no stand-in')
  t.equal(outbound(mesh, '127.0.0.2:80', ['tcp']), nobody('127.0.0.2:80'))
  t.equal(outbound(mesh, '127.0.1.1:80', ['tcp']), nobody('127.0.1.1:80'), 'nor has a service with one endpoint')
  t.equal(outbound(mesh, '127.0.1.4:80', ['waypoint']), 'unknown waypoint: /127.0.0.10', 'a waypoint is not bypassed')
  t.equal(outbound(mesh, '127.0.0.5:80', ['waypoint']), 'unknown waypoint: /127.0.0.10')
})

void t.test('what was to go over HBONE is never tried again in plaintext', async (t) => {
  const mesh = meshOf(`
workloads:
- {uid: source, name: source, namespace: ns, workloadIps: [127.0.0.1], node: local-node, services: {}}
- {uid: h1, name: h1, namespace: ns, workloadIps: [127.0.0.2], protocol: HBONE, services: {ns/mixed: {}}}
- {uid: t1, name: t1, namespace: ns, workloadIps: [127.0.0.3], services: {ns/mixed: {}}}
- {uid: h2, name: h2, namespace: ns, workloadIps: [127.0.0.4], protocol: HBONE, services: {ns/mixed: {}}}
services:
- {name: mixed, namespace: ns, hostname: mixed, vips: [/127.0.1.1], ports: {80: 8080}}
`)
  const request = requestFor(mesh, '127.0.1.1:80')
  function carried(exclude: readonly string[]): Exclude<OutboundRoute, { kind: 'refuse' }> {
    const route = routeOutbound(mesh, { ...request, exclude: new Set(exclude) })
    if (route.kind === 'refuse') throw new Error(route.message)
    return route
  }
  const tried = new Set<string>()
  const second = routeAgain(mesh, request, carried(['t1', 'h2']), tried)
  t.equal(second && told(second), 'hbone 127.0.0.4:15008 for 127.0.0.4:8080', 'the other one of the mesh')
  t.equal(second && routeAgain(mesh, request, second, tried), undefined, 'then nobody, although one takes plaintext')

  const fromPlain = routeAgain(mesh, request, carried(['h1', 'h2']), new Set())
  t.equal(fromPlain?.kind, 'hbone', 'the other way round is no loss')

  const alone = requestFor(mesh, '127.0.0.2:80')
  const route = routeOutbound(mesh, alone)
  mesh.apply({ upserts: [], removals: ['workload/h1'] })
  t.equal(told(routeOutbound(mesh, alone)), 'passthrough 127.0.0.2:80', 'a workload that has left is any address')
  t.ok(route.kind === 'hbone' && routeAgain(mesh, alone, route, new Set()) === undefined, 'but not for who tried HBONE')
})

void t.test(
  'an endpoint whose name has no address counts as tried; what it would have become is kept to',
  async (t) => {
    const mesh = meshOf(`
workloads:
- {uid: source, name: source, namespace: ns, workloadIps: [127.0.0.1], node: local-node, services: {}}
- {uid: h1, name: h1, namespace: ns, workloadIps: [], hostname: h1.example, protocol: HBONE, services: {ns/mixed: {}}}
- {uid: t1, name: t1, namespace: ns, workloadIps: [], hostname: t1.example, services: {ns/mixed: {}}}
services:
- {name: mixed, namespace: ns, hostname: mixed, vips: [/127.0.1.1], ports: {80: 8080}}
`)
    const asked = requestFor(mesh, '127.0.1.1:80')
    const without = (uid: string): Exclude<OutboundRoute, { kind: 'refuse' }> => {
      const route = routeOutbound(mesh, { ...asked, exclude: new Set([uid]) })
      if (route.kind === 'refuse') throw new Error(route.message)
      return route
    }
    const fromPlain = routeAgain(mesh, asked, without('h1'), new Set())
    t.equal(fromPlain && told(fromPlain), 'hbone by the name h1.example')
    t.equal(routeAgain(mesh, asked, without('t1'), new Set()), undefined, 'never in plaintext instead')
  },
)

const INBOUND = `
workloads:
- {uid: server, name: server, namespace: ns, workloadIps: [10.0.0.2], protocol: HBONE, node: local-node, services: {ns/svc.ns: {80: 8080}},
   waypoint: {destination: /10.0.0.3, hboneMtlsPort: 15008}}
- {uid: waypoint, name: waypoint, namespace: ns, workloadIps: [10.0.0.3], protocol: HBONE, node: local-node, services: {ns/wp.ns: {}}}
- {uid: sandwiched, name: sandwiched, namespace: ns, workloadIps: [10.0.0.4], protocol: HBONE, node: local-node, services: {},
   applicationTunnel: {protocol: PROXY, port: 15088}}
- {uid: by-vip, name: by-vip, namespace: ns, workloadIps: [10.0.0.5], protocol: HBONE, services: {},
   waypoint: {destination: /10.10.0.2, hboneMtlsPort: 15008}}
- {uid: free, name: free, namespace: ns, workloadIps: [10.0.0.6], protocol: HBONE, services: {}}
services:
- {name: svc, namespace: ns, hostname: svc.ns, vips: [/10.10.0.1], ports: {80: 8080}}
- {name: wp, namespace: ns, hostname: wp.ns, vips: [/10.10.0.2], ports: {15008: 15008}}
- {name: guarded, namespace: ns, hostname: guarded.ns, vips: [/10.10.0.3], ports: {80: 8080}, waypoint: {destination: ns/wp.ns, hboneMtlsPort: 15008}}
`

void t.test('inbound: what a CONNECT to a pod is for', async (t) => {
  const mesh = meshOf(INBOUND)
  function inbound(pod: string, asked: string): string {
    const authority = parseAuthority(asked)
    if (!authority) throw new Error(`${asked} is no authority`)
    const found = resolveInbound(mesh, {
      local: workloadOf(mesh, pod),
      connection: { address: pod, port: 15_008 },
      authority,
      network: '',
      forwardedHost: undefined,
      localhostAppTunnel: true,
    })
    if (found.kind === 'refuse') return `${found.status} ${found.message}`
    const header = found.proxyTarget ? ` PROXY ${formatSocketAddress(found.proxyTarget)}` : ''
    return `${formatSocketAddress(found.upstream)} dial ${formatSocketAddress(found.dial)}${header}`
  }
  const cases: readonly (readonly [what: string, pod: string, authority: string, answer: string])[] = [
    ['the pod itself', '10.0.0.2', '10.0.0.2:80', '10.0.0.2:80 dial 10.0.0.2:80'],
    ['a service by name', '10.0.0.2', 'svc.ns:80', '10.0.0.2:8080 dial 10.0.0.2:8080'],
    ['a waypoint, for its workload', '10.0.0.3', '10.0.0.2:80', '10.0.0.3:80 dial 10.0.0.3:80'],
    ['a waypoint by virtual address', '10.0.0.3', '10.0.0.5:80', '10.0.0.3:80 dial 10.0.0.3:80'],
    ['a waypoint, for its service', '10.0.0.3', '10.10.0.3:80', '10.0.0.3:80 dial 10.0.0.3:80'],
    ['an app tunnel', '10.0.0.4', '10.0.0.6:80', '10.0.0.4:15088 dial 127.0.0.1:15088 PROXY 10.0.0.6:80'],
    ['an app tunnel by name', '10.0.0.4', 'svc.ns:80', '10.0.0.4:15088 dial 127.0.0.1:15088 PROXY 10.10.0.1:80'],
    ['another pod', '10.0.0.2', '10.0.0.6:80', '400 ip mismatch: 10.0.0.2 != 10.0.0.6'],
    ['loopback', '10.0.0.2', '127.0.0.1:80', '400 ip mismatch: 10.0.0.2 != 127.0.0.1'],
    ['a pod without a waypoint', '10.0.0.3', '10.0.0.6:80', '400 ip mismatch: 10.0.0.3 != 10.0.0.6'],
    ['a pod of another waypoint', '10.0.0.6', '10.0.0.2:80', '400 ip mismatch: 10.0.0.6 != 10.0.0.2'],
    ['a service without a waypoint', '10.0.0.3', '10.10.0.1:80', '400 ip mismatch: 10.0.0.3 != 10.10.0.1'],
    ['the proxy itself', '10.0.0.2', '10.0.0.2:15008', '503 attempted recursive call to ourselves'],
    ['a name that nobody has', '10.0.0.2', 'no.ns:80', '503 no service or workload for hostname: no.ns'],
    ['a port it has not', '10.0.0.2', 'svc.ns:81', '503 requested service svc.ns:81 found, but cannot resolve port'],
  ]
  for (const [what, pod, authority, answer] of cases) t.equal(inbound(pod, authority), answer, what)
})
