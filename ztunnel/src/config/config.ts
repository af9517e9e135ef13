import type { CompliancePolicy } from '@ambit/shared/certificates'
import type { PodIdentity } from '../pod.ts'

/** SO_MARK of every socket made in a pod's namespace, with FOREIGN_SOURCE beside it on some; undefined leaves it unset. */
export type Marking =
  | { readonly mode: 'shared'; readonly packetMark: number }
  | { readonly mode: 'dedicated'; readonly packetMark: number | undefined }

/** What a worker process needs: plain data, sent to it at start. */
export type WorkerConfig = Marking & {
  readonly network: string
  readonly nodeName: string | undefined
  readonly clusterId: string
  /** Of the identities of pods whose mesh record names none. */
  readonly trustDomain: string
  /** true: must work; false: off; undefined: on where the kernel permits it (Istio's ENABLE_ORIG_SRC). */
  readonly originalSource: boolean | undefined
  readonly ipv6Enabled: boolean
  readonly keepAlive: { readonly timeS: number; readonly intervalS: number; readonly retries: number } | undefined
  readonly userTimeoutMs: number | undefined
  readonly poolMaxStreams: number
  readonly poolIdleTimeoutMs: number
  readonly http2: {
    readonly streamWindowBytes: number
    readonly connectionWindowBytes: number
    readonly frameBytes: number
  }
  /** Of one worker; see HeldMemory. */
  readonly maxHeldMemoryBytes: number
  readonly localhostAppTunnel: boolean
  readonly responseBaggage: boolean
  readonly policyInfoLogging: boolean
  readonly compliance: CompliancePolicy
  /** The byte path: Node's native handles where they prove themselves, or its public API. */
  readonly io: 'handle' | 'stream'
  readonly logFormat: 'plain' | 'json'
  readonly logLevel: string
}

/** What the variables say, all of it checked: the README tells each of them. */
export interface ZtunnelConfig {
  readonly worker: WorkerConfig
  readonly workers: number
  /** For profilers and debuggers: control and data in one process. */
  readonly workerInProcess: boolean
  readonly dedicatedPod: PodIdentity | undefined
  readonly localMesh: { readonly path: string } | { readonly inline: string }
  /** See LocalFileSourceOptions. */
  readonly maxMeshReadingBytes: number
  /** Undefined in dedicated mode, which captures no pods. */
  readonly localPodsPath: string | undefined
  readonly ca: {
    readonly address: string
    readonly roots: string
    readonly alternativeHostname: string | undefined
    readonly token: { readonly path: string } | { readonly value: string } | undefined
    readonly headers: Readonly<Record<string, string>>
    readonly secretTtlMs: number
  }
  readonly portReuse: boolean
  readonly drainDeadlineMs: number
  readonly crlPath: string | undefined
  /** Path of the node's network namespace, for the rules that let its probes pass; undefined leaves probes alone. */
  readonly hostNamespace: string | undefined
  /** How often the redirection of the pods is checked; 0: never. */
  readonly driftIntervalMs: number
  readonly istioVersion: string
  /** What may not be meant, to be written to the log at start. */
  readonly warnings: readonly string[]
}
