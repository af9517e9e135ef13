import { hash } from 'node:crypto'
import { keyOf, type MeshResource } from '../mesh-update.ts'

/** A resource on its way between threads: only one that is new or changed is made from its text. */
export interface WrittenResource {
  /** Of `keyOf`. */
  readonly key: string
  /** Of `json`, to be kept in its place. */
  readonly digest: string
  readonly json: string
}

/** Resources in one message between threads; making them takes 2 ms. */
const BATCH = 1_000

export function* writeResources(resources: readonly MeshResource[]): Generator<readonly WrittenResource[]> {
  for (let index = 0; index < resources.length; index += BATCH)
    yield resources.slice(index, index + BATCH).map((resource) => {
      const json = JSON.stringify(resource)
      return { key: keyOf(resource), digest: hash('sha256', json, 'base64'), json }
    })
}
