import type { Workload } from '@ambit/shared/mesh'
import type { Baggage } from '@ambit/shared/telemetry'

/** Bytes of baggage that are looked at; the rest of a longer header is not. */
const MAX_BYTES = 8_192

/** A value that can stand in the header as it is: printable ASCII without the separator, no space at either end. */
const SPEAKABLE = /^(?! )[\x20-\x2b\x2d-\x7e]+(?<! )$/

/**
 * What a workload tells about itself in Istio's order; empty values and such as no header can hold are left out. Not
 * percent-encoded, as Istio.
 */
export function encodeBaggage(workload: Workload): string {
  const { locality } = workload
  const members = [
    ['k8s.cluster.name', workload.clusterId],
    ['k8s.namespace.name', workload.namespace],
    [`k8s.${workload.workloadType || 'deployment'}.name`, workload.workloadName],
    ['service.name', workload.canonicalName],
    ['service.version', workload.canonicalRevision],
    ['cloud.region', locality.region],
    ['cloud.availability_zone', locality.zone],
  ]
  return members.flatMap(([key, value]) => (value && SPEAKABLE.test(value) ? `${key}=${value}` : [])).join(',')
}

type MutableBaggage = { -readonly [Key in keyof Baggage]: Baggage[Key] }

/** What the peer claims about itself, over all instances of the header; unknown keys are ignored, later ones win. */
export function parseBaggage(values: readonly string[]): Baggage {
  const baggage: MutableBaggage = {}
  for (const member of values.join(',').slice(0, MAX_BYTES).split(',')) {
    const [key = '', text = ''] = member.trim().split('=')
    const field = FIELDS.get(key)
    if (field) baggage[field] = text === '' ? undefined : text
  }
  return baggage
}

const FIELDS = new Map<string, keyof Baggage>([
  ['k8s.cluster.name', 'clusterId'],
  ['k8s.namespace.name', 'namespace'],
  ['k8s.deployment.name', 'workloadName'],
  ['k8s.cronjob.name', 'workloadName'],
  ['k8s.pod.name', 'workloadName'],
  ['k8s.job.name', 'workloadName'],
  ['service.name', 'serviceName'],
  ['service.version', 'serviceVersion'],
  ['cloud.region', 'region'],
  ['cloud.availability_zone', 'zone'],
])
