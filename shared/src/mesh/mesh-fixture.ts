// Resources for tests, with the defaults of a local file.
import type { Authorization } from './authorization.ts'
import { Mesh } from './mesh.ts'
import type { MeshResource } from './mesh-update.ts'
import type { Service } from './service.ts'
import type { Workload } from './workload.ts'

export function workload(uid: string, fields: Partial<Workload> = {}): Workload {
  return {
    uid,
    name: uid,
    namespace: 'default',
    serviceAccount: uid,
    trustDomain: 'cluster.local',
    workloadIps: [],
    protocol: 'HBONE',
    networkMode: 'Standard',
    network: '',
    node: 'a',
    hostname: '',
    status: 'Healthy',
    clusterId: 'one',
    workloadName: uid,
    workloadType: 'deployment',
    canonicalName: uid,
    canonicalRevision: 'latest',
    nativeTunnel: false,
    locality: { region: '', zone: '', subzone: '' },
    capacity: 1,
    authorizationPolicies: [],
    applicationTunnel: undefined,
    waypoint: undefined,
    networkGateway: undefined,
    services: {},
    ...fields,
  }
}

/** Its hostname is `<name>.default.svc`, unless another is given. */
export function service(name: string, fields: Partial<Service> = {}): Service {
  return {
    name,
    namespace: 'default',
    hostname: `${name}.default.svc`,
    vips: [],
    cidrVips: [],
    ports: { 80: 8080 },
    endpoints: {},
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancer: undefined,
    ipFamilies: undefined,
    canonical: false,
    visibility: 'Public',
    ...fields,
  }
}

export function policy(name: string, fields: Partial<Authorization> = {}): Authorization {
  return { name, namespace: 'default', scope: 'Namespace', action: 'Allow', dryRun: false, rules: [], ...fields }
}

/** A vip of the default network. */
export function vip(address: string, network = ''): { readonly network: string; readonly address: string } {
  return { network, address }
}

export function ofWorkload(value: Workload): MeshResource {
  return { kind: 'workload', value }
}

export function ofService(value: Service): MeshResource {
  return { kind: 'service', value }
}

export function ofPolicy(value: Authorization): MeshResource {
  return { kind: 'policy', value }
}

export function meshOf(...upserts: readonly MeshResource[]): Mesh {
  const mesh = new Mesh({ nodeName: 'a' })
  mesh.apply({ upserts, removals: [] })
  return mesh
}
