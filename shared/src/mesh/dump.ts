import { sortInParts } from '../collections/index.ts'
import type { Authorization, Match, StringMatch } from './authorization.ts'
import { formatGateway, type GatewayAddress } from './gateway.ts'
import { formatCidr } from '../ip/index.ts'
import type { Mesh } from './mesh.ts'
import type { MeshResource } from './mesh-update.ts'
import type { Endpoint, Service } from './service.ts'
import type { Workload } from './workload.ts'

type Json = Readonly<Record<string, unknown>>

/** A record of the mesh that is made into what is shown only when it is written: there may be a hundred thousand. */
interface Shown {
  toJSON(): Json
}

/** The mesh part of /config_dump, in the shape that istioctl reads. */
export interface MeshDump {
  readonly workloads: readonly Shown[]
  readonly services: readonly Shown[]
  readonly policies: readonly Shown[]
  readonly stagedServices: Json
}

/**
 * Sorted (workloads by uid, services by hostname, policies by key), values that are empty left out as Istio does. With `pause` after
 * each few thousand records; the records are those of the beginning.
 */
export async function dumpMesh(mesh: Mesh, pause: () => Promise<void>): Promise<MeshDump> {
  const staged = [...mesh.stagedEndpoints()].map(([key, endpoints]) => [key, Object.fromEntries(endpoints)])
  const endpointsOf = (service: Service): Readonly<Record<string, Endpoint>> =>
    Object.fromEntries(mesh.endpointsOf(service).map(({ endpoint }) => [endpoint.workloadUid, endpoint]))
  const dump = await dumpResources(mesh.snapshot().upserts, pause, endpointsOf)
  return { ...dump, stagedServices: Object.fromEntries(staged) as Json }
}

/** The same of resources that no mesh holds, such as the content of the local file. */
export async function dumpResources(
  resources: readonly MeshResource[],
  pause: () => Promise<void>,
  endpointsOf: (service: Service) => Readonly<Record<string, Endpoint>> = (service) => service.endpoints,
): Promise<Omit<MeshDump, 'stagedServices'>> {
  const workloads: Workload[] = []
  const services: Service[] = []
  const policies: Authorization[] = []
  for (const { kind, value } of resources) {
    if (kind === 'workload') workloads.push(value)
    else if (kind === 'service') services.push(value)
    else policies.push(value)
  }
  const sorted = {
    workloads: await sortInParts(
      workloads,
      by(({ uid }) => uid),
      pause,
    ),
    services: await sortInParts(
      services,
      by(({ hostname, namespace }) => `${hostname}/${namespace}`),
      pause,
    ),
    policies: await sortInParts(
      policies,
      by(({ namespace, name }) => `${namespace}/${name}`),
      pause,
    ),
  }
  return {
    workloads: sorted.workloads.map((workload) => ({ toJSON: () => dumpWorkload(workload) })),
    services: sorted.services.map((service) => ({ toJSON: () => dumpService(service, endpointsOf(service)) })),
    policies: sorted.policies.map((policy) => ({ toJSON: () => dumpPolicy(policy) })),
  }
}

function dumpWorkload(workload: Workload): Json {
  const { locality, applicationTunnel } = workload
  return {
    workloadIps: workload.workloadIps,
    ...present({ waypoint: gateway(workload.waypoint), networkGateway: gateway(workload.networkGateway) }),
    protocol: workload.protocol,
    networkMode: workload.networkMode,
    ...present({ uid: workload.uid }),
    name: workload.name,
    namespace: workload.namespace,
    ...present({
      trustDomain: workload.trustDomain,
      serviceAccount: workload.serviceAccount,
      network: workload.network,
      workloadName: workload.workloadName,
      workloadType: workload.workloadType,
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      hostname: workload.hostname,
      node: workload.node,
      nativeTunnel: workload.nativeTunnel,
      applicationTunnel: applicationTunnel && {
        protocol: applicationTunnel.protocol,
        ...present({ port: applicationTunnel.port }),
      },
      authorizationPolicies: workload.authorizationPolicies,
    }),
    status: workload.status,
    clusterId: workload.clusterId,
    ...present({ locality: present(locality), services: Object.keys(workload.services) }),
    capacity: workload.capacity,
  }
}

function dumpService(service: Service, endpoints: Readonly<Record<string, Endpoint>>): Json {
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(({ network, address }) => `${network}/${address}`),
    ...present({ cidrVips: service.cidrVips.map(({ network, cidr }) => ({ network, cidr: formatCidr(cidr) })) }),
    ports: service.ports,
    endpoints,
    subjectAltNames: service.subjectAltNames,
    ...present({
      waypoint: gateway(service.waypoint),
      weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: gateway(destination),
        weight,
      })),
      loadBalancer: service.loadBalancer,
      ipFamilies: service.ipFamilies,
    }),
    canonical: service.canonical,
    visibility: service.visibility,
  }
}

function dumpPolicy({ name, namespace, scope, action, rules, dryRun }: Authorization): Json {
  return {
    name,
    namespace,
    scope,
    action,
    rules: rules.map((rule) => rule.map((clause) => clause.map(dumpMatch))),
    dryRun,
  }
}

function dumpMatch(match: Match): Json {
  return present({
    namespaces: match.namespaces.map(dumpStringMatch),
    notNamespaces: match.notNamespaces.map(dumpStringMatch),
    principals: match.principals.map(dumpStringMatch),
    notPrincipals: match.notPrincipals.map(dumpStringMatch),
    serviceAccounts: match.serviceAccounts,
    notServiceAccounts: match.notServiceAccounts,
    sourceIps: match.sourceIps.map(formatCidr),
    notSourceIps: match.notSourceIps.map(formatCidr),
    destinationIps: match.destinationIps.map(formatCidr),
    notDestinationIps: match.notDestinationIps.map(formatCidr),
    destinationPorts: match.destinationPorts,
    notDestinationPorts: match.notDestinationPorts,
  })
}

function dumpStringMatch(match: StringMatch): Json {
  switch (match.kind) {
    case 'exact':
      return { Exact: match.value }
    case 'prefix':
      return { Prefix: match.value }
    case 'suffix':
      return { Suffix: match.value }
    case 'presence':
      return { Presence: [] }
  }
}

function gateway(address: GatewayAddress | undefined): Json | undefined {
  return address && { destination: formatGateway(address), hboneMtlsPort: address.hboneMtlsPort }
}

/** Without what is empty: '', false, undefined, [] and {}. */
function present(values: Json): Json {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => {
      if (value === undefined || value === '' || value === false) return false
      return typeof value !== 'object' || value === null || Object.keys(value).length > 0
    }),
  )
}

function by<T>(key: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0)
}
