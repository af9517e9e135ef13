import type { Pod } from '../kit/index.ts'

export const VARIANTS = ['direct', 'tcp', 'http2', 'hbone', 'envoy'] as const
export type VariantName = (typeof VARIANTS)[number]

/** One way from the client to the server. All serve the same applications. */
export interface Variant {
  readonly name: VariantName
  readonly client: Pod
  /** Where the client connects. */
  readonly host: string
  /** The port that leads to an application's port. */
  readonly port: (application: number) => number
  /** Process ids of everything that stands in between; none for `direct`. */
  readonly proxies: () => readonly number[]
  /** How many nodes those processes are on: memory is told for one. */
  readonly nodes: number
}
