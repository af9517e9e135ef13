import type { MeshResource, MeshUpdate } from '@ambit/shared/mesh'

/** Resources in one message to a worker: a mesh of 100,000 workloads must not become one message of 50 MB. */
const BATCH = 1_000

/**
 * An update cut into messages, one where it is small. Policies come before the workloads that name them and go after: a
 * policy that is named and not known refuses, and must not do so between two messages.
 */
export function* meshBatches({ upserts, removals }: MeshUpdate): Generator<MeshUpdate> {
  const items = [
    ...upserts.filter(isPolicy),
    ...removals.filter((key) => !isPolicy(key)),
    ...upserts.filter((resource) => !isPolicy(resource)),
    ...removals.filter(isPolicy),
  ]
  for (let index = 0; index < items.length; index += BATCH) {
    const batch = items.slice(index, index + BATCH)
    yield {
      upserts: batch.filter((item) => typeof item !== 'string'),
      removals: batch.filter((item) => typeof item === 'string'),
    }
  }
}

function isPolicy(item: MeshResource | string): boolean {
  return typeof item === 'string' ? item.startsWith('policy/') : item.kind === 'policy'
}
