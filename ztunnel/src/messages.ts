import type { MeshUpdate } from '@ambit/shared/mesh'
import type { WireCertificate } from '@ambit/shared/certificates'
import type { MetricsDelta } from '@ambit/shared/telemetry'
import type { WorkerConfig } from './config/index.ts'
import type { Pod } from './pod.ts'

/** The listeners of one pod, by the port's role. */
export type ListenerRole = 'inbound' | 'inboundPassthrough' | 'outbound'

/** One open connection, as /config_dump shows it. */
export interface ConnectionSummary {
  readonly src: string
  readonly originalDst: string | null
  readonly actualDst: string
  readonly protocol: 'HBONE' | 'TCP'
}

export interface PodConnections {
  readonly inbound: readonly ConnectionSummary[]
  readonly outbound: readonly ConnectionSummary[]
}

/**
 * Control → worker. State flows this way only; a worker that starts late or anew gets `start`, the whole mesh,
 * the revocation lists, every certificate and every pod, in that order. `listener` carries the listening socket beside the message.
 */
export type ToWorker =
  | { readonly type: 'start'; readonly config: WorkerConfig; readonly logLevels: string }
  | { readonly type: 'mesh'; readonly update: MeshUpdate }
  | { readonly type: 'certificate'; readonly certificate: WireCertificate }
  | { readonly type: 'certificate-failed'; readonly identity: string; readonly reason: string }
  | { readonly type: 'certificate-forgotten'; readonly identity: string }
  /** Lists in DER, in base64. */
  | { readonly type: 'crl'; readonly lists: readonly string[] }
  | {
      readonly type: 'listener'
      /** What the worker confirms it with. */
      readonly id: number
      readonly pod: Pod
      readonly role: ListenerRole
      readonly transparent: boolean
    }
  | { readonly type: 'pod-removed'; readonly uid: string }
  | { readonly type: 'log-levels'; readonly levels: string }
  | { readonly type: 'report'; readonly id: number; readonly connections: boolean }
  | { readonly type: 'drain'; readonly deadlineMs: number }

/** Where a message goes: to one worker or to all of them. */
export type SendToWorker = (message: ToWorker) => void

/** Worker → control: what it needs and what happened. */
export type FromWorker =
  | { readonly type: 'listening'; readonly id: number }
  | { readonly type: 'certificate-wanted'; readonly identity: string }
  | {
      readonly type: 'report'
      readonly id: number
      readonly metrics: MetricsDelta
      readonly pods: Readonly<Record<string, PodConnections>>
    }
  | { readonly type: 'drained' }
