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

/**
 * Istio's labels for a connection. What the mesh knows of an end overrides all that its baggage claims; the source's
 * principal is only ever what TLS verified. Missing values read `unknown`.
 */
export function trafficLabels(info: ConnectionInfo, trustDomain: string): TrafficLabels {
  const { direction, src, dst, mutualTls } = info
  const source = src.workload ? ofWorkload(src.workload) : ofBaggage(src.baggage)
  const destination = dst.workload ? ofWorkload(dst.workload) : ofBaggage(dst.baggage)
  const head = labelText({
    reporter: direction === 'outbound' ? 'source' : 'destination',
    source_workload: source.workload,
    source_canonical_service: source.canonicalService,
    source_canonical_revision: source.revision,
    source_workload_namespace: source.namespace,
    source_principal: src.identity?.toString(),
    source_app: source.app,
    source_version: source.revision,
    source_cluster: source.cluster,
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
  const isAnyoneKnown = src.workload ?? src.baggage ?? dst.workload ?? dst.baggage
  if (!isAnyoneKnown) return { head: `${head},`, tail: `,${security}` }
  const localities = labelText({
    source_region: source.region,
    source_zone: source.zone,
    destination_region: destination.region,
    destination_zone: destination.zone,
  })
  return { head: `${head},`, tail: `,${security},${localities}` }
}

/**
 * Who answers: as the inner TLS of a double tunnel says, else as the mesh has it on record. `trustDomain` is that of
 * workloads whose record names none.
 */
export function destinationIdentity({ dst }: ConnectionInfo, trustDomain: string): string | undefined {
  if (dst.identity) return dst.identity.toString()
  if (!dst.workload) return undefined
  const { namespace, serviceAccount } = dst.workload
  return `spiffe://${dst.workload.trustDomain || trustDomain}/ns/${namespace}/sa/${serviceAccount}`
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

/** As Istio: from baggage, `app` is the workload's name, not that of the canonical service. */
function ofBaggage(baggage: Baggage | undefined): EndLabels {
  return {
    workload: baggage?.workloadName,
    canonicalService: baggage?.serviceName,
    revision: baggage?.serviceVersion,
    namespace: baggage?.namespace,
    app: baggage?.workloadName,
    cluster: baggage?.clusterId,
    region: baggage?.region,
    zone: baggage?.zone,
  }
}
