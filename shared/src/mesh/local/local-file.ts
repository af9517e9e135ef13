import { YamlValue, type ReadOptions } from '../../config-file/index.ts'
import { readAuthorization } from './local-authorization.ts'
import { readCidr, readGatewayAddress, readIp, readNetworkAddress, readPortMap, warnOfMissing } from './local-values.ts'
import { parseIdentityPart, parseTrustDomain } from '../../identity/index.ts'
import { addressKey } from '../address-key.ts'
import { keyOf, type MeshResource } from '../mesh-update.ts'
import type { Endpoint, LoadBalancer, Service } from '../service.ts'
import type { Workload } from '../workload.ts'

const U32 = { min: 0, max: 0xffff_ffff }

/**
 * Reads the text of a LOCAL_XDS_PATH file, the same that Istio's ztunnel takes: workloads, policies, services. Unknown keys
 * are errors, and so is a text that says nothing where it may not be empty. Throws YamlError with every problem and its line.
 * What Istio's takes as well, and is hardly meant, is warned about.
 */
export function parseLocalFile(text: string, options?: ReadOptions): readonly MeshResource[] {
  return YamlValue.read(text, readResources, options)
}

function readResources(root: YamlValue): readonly MeshResource[] {
  const { workloads, policies, services } = root.fields('workloads', 'policies', 'services')
  const seen = new Set<string>()
  const once = (place: YamlValue, resource: MeshResource): MeshResource => {
    const key = keyOf(resource)
    // One would hide the other: an ALLOW of the same name a DENY.
    if (seen.has(key)) place.problem(`another ${resource.kind} is ${key.slice(resource.kind.length + 1)} already`)
    seen.add(key)
    return resource
  }
  // First, so that workloads can be told what they name in vain.
  const named = [
    ...policies.list().map((value) => once(value, { kind: 'policy', value: readAuthorization(value) })),
    ...services.list().map((value) => once(value, { kind: 'service', value: readService(value) })),
  ]
  const holders = new Map<string, string>()
  return [
    ...workloads.list().map((value) => {
      const workload = readWorkload(value, seen)
      warnOfSharedAddress(value, workload, holders)
      return once(value, { kind: 'workload', value: workload })
    }),
    ...named,
  ]
}

/**
 * `holders` has whose the addresses of the workloads before it are. Pods in the network of their node share its address rightly,
 * and so do WorkloadEntries of one machine, which have no HBONE.
 */
function warnOfSharedAddress(
  value: YamlValue,
  { uid, workloadIps, network, networkMode, protocol }: Workload,
  holders: Map<string, string>,
): void {
  if (networkMode === 'HostNetwork' || protocol !== 'HBONE') return
  for (const ip of workloadIps) {
    const key = addressKey(network, ip)
    const holder = holders.get(key)
    if (holder === undefined) holders.set(key, uid)
    else if (holder !== uid)
      value.warning(`has the address ${ip} of ${holder} too: only one of them is reached by it, and known by it`)
  }
}

/** `known` has the keys (of keyOf) of what the file has beside workloads. */
function readWorkload(value: YamlValue, known: ReadonlySet<string>): Workload {
  const field = value.fields(
    'uid',
    'name',
    'namespace',
    'serviceAccount',
    'trustDomain',
    'workloadIps',
    'protocol',
    'networkMode',
    'network',
    'node',
    'hostname',
    'status',
    'clusterId',
    'workloadName',
    'workloadType',
    'canonicalName',
    'canonicalRevision',
    'nativeTunnel',
    'locality',
    'capacity',
    'authorizationPolicies',
    'applicationTunnel',
    'waypoint',
    'networkGateway',
    'services',
  )
  const locality = field.locality.fields('region', 'zone', 'subzone')
  warnOfMissing(field.locality, locality)
  const ips = field.workloadIps
  if (ips.isAbsent) ips.problem('is required (a list, may be [] where there is a hostname)')
  if (field.services.isAbsent) field.services.problem('is required (a mapping, may be {})')
  const namespace = field.namespace.parsed(parseIdentityPart)
  const name = field.name.text('')
  return {
    uid: field.uid.text('') || `${namespace}/${name}`,
    name,
    namespace,
    serviceAccount: field.serviceAccount.parsed(parseOptional(parseIdentityPart), ''),
    trustDomain: field.trustDomain.parsed(parseOptional(parseTrustDomain), ''),
    workloadIps: ips.list().map(readIp),
    protocol: field.protocol.oneOf(['TCP', 'HBONE'], 'TCP'),
    networkMode: field.networkMode.oneOf(['Standard', 'HostNetwork'], 'Standard'),
    network: field.network.text(''),
    node: field.node.text(''),
    hostname: field.hostname.text(''),
    status: field.status.oneOf(['Healthy', 'Unhealthy'], 'Healthy'),
    clusterId: field.clusterId.text(''),
    workloadName: field.workloadName.text(''),
    workloadType: field.workloadType.text('deployment'),
    canonicalName: field.canonicalName.text(''),
    canonicalRevision: field.canonicalRevision.text(''),
    nativeTunnel: field.nativeTunnel.boolean(false),
    locality: { region: locality.region.text(''), zone: locality.zone.text(''), subzone: locality.subzone.text('') },
    capacity: field.capacity.integer(U32, 1),
    authorizationPolicies: field.authorizationPolicies.list().map((key) => readPolicyKey(key, known)),
    applicationTunnel: readApplicationTunnel(field.applicationTunnel),
    waypoint: readGatewayAddress(field.waypoint),
    networkGateway: readGatewayAddress(field.networkGateway),
    services: Object.fromEntries(
      field.services.entries().map(([key, ports]) => [readServiceKey(key, ports, known), readPortMap(ports)]),
    ),
  }
}

/** Empty text says that there is none; who is outside the mesh has no service account. */
function parseOptional(parse: (text: string) => string): (text: string) => string {
  return (text) => (text === '' ? '' : parse(text))
}

function readApplicationTunnel(value: YamlValue): Workload['applicationTunnel'] {
  if (value.isAbsent) return undefined
  const { protocol, port } = value.fields('protocol', 'port')
  warnOfMissing(value, { protocol })
  const number = port.integer({ min: 0, max: 65_535 }, 0)
  return { protocol: protocol.oneOf(['NONE', 'PROXY'], 'NONE'), port: number === 0 ? undefined : number }
}

function readServiceKey(key: string, value: YamlValue, known: ReadonlySet<string>): string {
  if (!key.includes('/')) value.problem('the name of a service is namespace/hostname')
  if (!known.has(`service/${key}`)) value.warning('the file has no such service, so nothing reaches the workload by it')
  return key
}

function readPolicyKey(value: YamlValue, known: ReadonlySet<string>): string {
  const key = value.text()
  if (!known.has(`policy/${key}`))
    value.warning(`the file has no policy ${key}, and without it every connection to the workload is refused`)
  return key
}

function readService(value: YamlValue): Service {
  const field = value.fields(
    'name',
    'namespace',
    'hostname',
    'vips',
    'cidrVips',
    'ports',
    'endpoints',
    'subjectAltNames',
    'waypoint',
    'weightedWaypoints',
    'loadBalancer',
    'ipFamilies',
    'canonical',
    'visibility',
  )
  if (field.vips.isAbsent) field.vips.problem('is required (a list, may be [])')
  if (field.ports.isAbsent) field.ports.problem('is required (a mapping, may be {})')
  return {
    name: field.name.text(),
    namespace: field.namespace.text(),
    hostname: field.hostname.text(),
    vips: field.vips.list().map(readNetworkAddress),
    cidrVips: field.cidrVips.list().map((item) => {
      const { network, cidr } = item.fields('network', 'cidr')
      return { network: network.text(''), cidr: readCidr(cidr) }
    }),
    ports: readPortMap(field.ports),
    endpoints: Object.fromEntries(
      field.endpoints.entries().map(([uid, endpoint]) => [uid, readEndpoint(endpoint, uid)]),
    ),
    subjectAltNames: field.subjectAltNames.list().map((san) => san.text()),
    waypoint: readGatewayAddress(field.waypoint),
    weightedWaypoints: field.weightedWaypoints.list().flatMap((item) => {
      const { destination, weight } = item.fields('destination', 'weight')
      const address = readGatewayAddress(destination)
      if (!address) destination.problem('is required')
      return address ? [{ destination: address, weight: weight.integer(U32) }] : []
    }),
    loadBalancer: readLoadBalancer(field.loadBalancer),
    ipFamilies: field.ipFamilies.isAbsent ? undefined : field.ipFamilies.oneOf(['Dual', 'IPv4', 'IPv6']),
    canonical: field.canonical.boolean(false),
    visibility: field.visibility.oneOf(['Public', 'Namespace'], 'Public'),
  }
}

function readEndpoint(value: YamlValue, key: string): Endpoint {
  const field = value.fields('workloadUid', 'port', 'status')
  const { workloadUid, port, status } = field
  warnOfMissing(value, field)
  return {
    workloadUid: workloadUid.text(key),
    port: readPortMap(port),
    status: status.oneOf(['Healthy', 'Unhealthy'], 'Healthy'),
  }
}

function readLoadBalancer(value: YamlValue): LoadBalancer | undefined {
  if (value.isAbsent) return undefined
  const field = value.fields('routingPreferences', 'mode', 'healthPolicy')
  const { routingPreferences, mode, healthPolicy } = field
  warnOfMissing(value, field)
  return {
    routingPreferences: routingPreferences
      .list()
      .map((item) => item.oneOf(['Region', 'Zone', 'Subzone', 'Node', 'Cluster', 'Network'])),
    mode: mode.oneOf(['Standard', 'Strict', 'Failover', 'Passthrough'], 'Standard'),
    healthPolicy: healthPolicy.oneOf(['OnlyHealthy', 'AllowAll'], 'OnlyHealthy'),
  }
}
