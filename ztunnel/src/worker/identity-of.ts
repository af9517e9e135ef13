import { SpiffeId } from '@ambit/shared/identity'
import { trustDomainOf, type Workload } from '@ambit/shared/mesh'
import type { PodIdentity } from '../pod.ts'

/** Who a pod is towards others: the trust domain of its mesh record, the namespace and service account of the pod itself. */
export function identityOf(workload: Workload, pod: PodIdentity, trustDomain: string): SpiffeId {
  return SpiffeId.of(trustDomainOf(workload, trustDomain), pod.namespace, pod.serviceAccount)
}
