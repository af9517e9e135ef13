import type { MeshUpdate } from '@ambit/shared/mesh'

/** Resources in one message to a worker: a mesh of 100,000 workloads must not become one message of 50 MB. */
const BATCH = 1_000

/** An update cut into messages. Removals come first, as in one update. */
export function* meshBatches({ upserts, removals }: MeshUpdate): Generator<MeshUpdate> {
  for (let index = 0; index < removals.length; index += BATCH) {
    yield { upserts: [], removals: removals.slice(index, index + BATCH) }
  }
  for (let index = 0; index < upserts.length; index += BATCH) {
    yield { upserts: upserts.slice(index, index + BATCH), removals: [] }
  }
}
