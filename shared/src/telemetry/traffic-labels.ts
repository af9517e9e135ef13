import type { SpiffeId } from '../identity/index.ts'
import type { Baggage, ConnectionInfo, ResponseFlag, WorkloadLabels } from './connection-info.ts'
import { label, labelText } from './label-text.ts'

/** Label text of a connection's series, but for the response flag in its middle. */
export interface TrafficLabels {
  /** Labels before response_flags, with a comma at the end. */
  readonly head: string
  /** Labels behind response_flags, with a comma at the beginning. */
  readonly tail: string
}

/** The label text of one series. */
export function withFlag({ head, tail }: TrafficLabels, flag: ResponseFlag): string {
  return `${head}${label('response_flags', flag)}${tail}`
}

/** Quotes within values are escaped, so nothing else in label text reads like this. */
const FLAG = /,response_flags="[A-Z\d_-]+",/

/** The label text of the same ends with another flag; unchanged where it has none (that of `other`). */
export function flagged(text: string, flag: ResponseFlag): string {
  return text.replace(FLAG, `,${label('response_flags', flag)},`)
}

/** From the first label of a source to the last; see `label` for what a value may hold. */
const SOURCE = /(?:^|,)(source_workload="(?:[^"\\]|\\.)*"(?:,source_[a-z_]+="(?:[^"\\]|\\.)*")*)/

/** The labels that say who opens a connection, of the label text of a series; undefined where it has none. */
export function sourceOf(text: string): string | undefined {
  return SOURCE.exec(text)?.[1]
}

/**
 * Istio's labels for a connection. What the mesh knows of the source overrides all that its baggage claims; its principal is
 * only ever what TLS verified. Missing values read `unknown`.
 */
export function trafficLabels(info: ConnectionInfo, trustDomain: string): TrafficLabels {
  const { direction, src, dst, mutualTls } = info
  const source = src.workload ? ofWorkload(src.workload) : ofBaggage(src.baggage)
  const destination = dst.workload ? ofWorkload(dst.workload) : {}
  const head = labelText({
    reporter: direction === 'outbound' ? 'source' : 'destination',
    ...sourceLabels(source, src.identity),
    destination_service: dst.service?.hostname,
    destination_service_namespace: dst.service?.namespace,
    destination_service_name: dst.service?.name,
    destination_workload: destination.workload,
    destination_canonical_service: destination.canonicalService,
    destination_canonical_revision: destination.revision,
    destination_workload_namespace: destination.namespace,
    destination_principal: destinationIdentity(info, trustDomain),
    destination_app: destination.app,
    destination_version: destination.revision,
    destination_cluster: destination.cluster,
    request_protocol: 'tcp',
  })
  const security = label('connection_security_policy', mutualTls ? 'mutual_tls' : 'unknown')
  const isAnyoneKnown = src.workload ?? src.baggage ?? dst.workload
  if (!isAnyoneKnown) return { head: `${head},`, tail: `,${security}` }
  const localities = labelText({
    source_region: source.region,
    source_zone: source.zone,
    destination_region: destination.region,
    destination_zone: destination.zone,
  })
  return { head: `${head},`, tail: `,${security},${localities}` }
}

/** The label text of a name that is resolved for a connection of the workload; its own identity is told. */
export function nameLabels(workload: WorkloadLabels, identity: SpiffeId, hostname: string): string {
  return labelText({ ...sourceLabels(ofWorkload(workload), identity), hostname })
}

function sourceLabels(source: EndLabels, identity: SpiffeId | undefined): Readonly<Record<string, string | undefined>> {
  return {
    source_workload: source.workload,
    source_canonical_service: source.canonicalService,
    source_canonical_revision: source.revision,
    source_workload_namespace: source.namespace,
    source_principal: identity?.toString(),
    source_app: source.app,
    source_version: source.revision,
    source_cluster: source.cluster,
  }
}

/** Who answers, as the mesh has it on record. `trustDomain` is that of workloads whose record names none. */
export function destinationIdentity({ dst }: ConnectionInfo, trustDomain: string): string | undefined {
  if (!dst.workload) return undefined
  const { namespace, serviceAccount } = dst.workload
  return `spiffe://${dst.workload.trustDomain || trustDomain}/ns/${namespace}/sa/${serviceAccount}`
}

/**
 * The same connection with nothing that its source claims: `other` where it claims anything. undefined where the mesh knows
 * the source, or it says nothing.
 */
export function withoutClaims(info: ConnectionInfo): ConnectionInfo | undefined {
  const { src } = info
  if (src.workload || !src.baggage) return undefined
  return { ...info, src: { ...src, baggage: silenced(src.baggage) } }
}

const OTHER: Baggage = {
  clusterId: 'other',
  namespace: 'other',
  workloadName: 'other',
  serviceName: 'other',
  serviceVersion: 'other',
  region: 'other',
  zone: 'other',
}

/** Who claims nothing is as unknown as before. */
function silenced(baggage: Baggage): Baggage {
  return Object.values(baggage).some((value) => value !== undefined && value !== '') ? OTHER : baggage
}

interface EndLabels {
  readonly workload?: string | undefined
  readonly canonicalService?: string | undefined
  readonly revision?: string | undefined
  readonly namespace?: string | undefined
  readonly app?: string | undefined
  readonly cluster?: string | undefined
  readonly region?: string | undefined
  readonly zone?: string | undefined
}

function ofWorkload(workload: WorkloadLabels): EndLabels {
  return {
    workload: workload.workloadName,
    canonicalService: workload.canonicalName,
    revision: workload.canonicalRevision,
    namespace: workload.namespace,
    app: workload.canonicalName,
    cluster: workload.clusterId,
    region: workload.locality.region,
    zone: workload.locality.zone,
  }
}

/** Longer than the names of Kubernetes that come with baggage (63), shorter than a peer may wish. */
const MAX_CLAIM_CHARACTERS = 128

/** As Istio: from baggage, `app` is the workload's name, not that of the canonical service. */
function ofBaggage(baggage: Baggage | undefined): EndLabels {
  const workload = claimed(baggage?.workloadName)
  return {
    workload,
    canonicalService: claimed(baggage?.serviceName),
    revision: claimed(baggage?.serviceVersion),
    namespace: claimed(baggage?.namespace),
    app: workload,
    cluster: claimed(baggage?.clusterId),
    region: claimed(baggage?.region),
    zone: claimed(baggage?.zone),
  }
}

function claimed(value: string | undefined): string | undefined {
  return value?.slice(0, MAX_CLAIM_CHARACTERS)
}
