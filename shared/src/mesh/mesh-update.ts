import { policyKey, type Authorization } from './authorization.ts'
import { serviceKey, type Service } from './service.ts'
import type { Workload } from './workload.ts'

/** One record of the mesh; its key is `keyOf`. */
export type MeshResource =
  | { readonly kind: 'workload'; readonly value: Workload }
  | { readonly kind: 'service'; readonly value: Service }
  | { readonly kind: 'policy'; readonly value: Authorization }

/** A change of the mesh as plain data, so that it passes between processes. Removals take effect first. */
export interface MeshUpdate {
  readonly upserts: readonly MeshResource[]
  /** Keys of `keyOf`. */
  readonly removals: readonly string[]
}

/** The key of a resource over all kinds: `workload/<uid>`, `service/<namespace>/<hostname>`, `policy/<namespace>/<name>`. */
export function keyOf(resource: MeshResource): string {
  switch (resource.kind) {
    case 'workload':
      return `workload/${resource.value.uid}`
    case 'service':
      return `service/${serviceKey(resource.value)}`
    case 'policy':
      return `policy/${policyKey(resource.value)}`
  }
}
