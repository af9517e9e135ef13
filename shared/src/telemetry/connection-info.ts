import type { SpiffeId } from '../identity/index.ts'
import type { SocketAddress } from '../ip/index.ts'

/** What telemetry reads of a workload's record. A mesh Workload is one; so is anything with these fields. */
export interface WorkloadLabels {
  readonly name: string
  readonly namespace: string
  readonly trustDomain: string
  readonly serviceAccount: string
  readonly workloadName: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly clusterId: string
  readonly locality: { readonly region: string; readonly zone: string }
}

/** What telemetry reads of a service's record. */
export interface ServiceLabels {
  readonly name: string
  readonly namespace: string
  readonly hostname: string
}

/** What a peer says about itself in a `baggage` header (k8s.*, service.*, cloud.*). Claimed, not verified. */
export interface Baggage {
  readonly clusterId?: string | undefined
  readonly namespace?: string | undefined
  readonly workloadName?: string | undefined
  readonly serviceName?: string | undefined
  readonly serviceVersion?: string | undefined
  readonly region?: string | undefined
  readonly zone?: string | undefined
}

/** Who opened the connection. */
export interface SourceInfo {
  readonly addr: SocketAddress
  /** Found in the mesh; overrides `baggage`. */
  readonly workload?: WorkloadLabels | undefined
  /** Used for what the mesh does not know (traffic from another network). */
  readonly baggage?: Baggage | undefined
  /** Verified by TLS, or our own on outbound HBONE. undefined on plaintext. */
  readonly identity?: SpiffeId | undefined
}

/** Whom it is for. */
export interface DestinationInfo {
  /** Outbound: the address really dialled. Inbound HBONE: podIP:15008. Passthrough: the original destination. */
  readonly addr: SocketAddress
  /** The :authority of an HBONE tunnel, as sent or received. */
  readonly hboneAddr?: string | undefined
  /** Its identity on record is told. */
  readonly workload?: WorkloadLabels | undefined
  readonly service?: ServiceLabels | undefined
}

/** All that the access log and the metrics tell about one connection, complete before policy and before dialling. */
export interface ConnectionInfo {
  readonly direction: 'inbound' | 'outbound'
  readonly src: SourceInfo
  readonly dst: DestinationInfo
  /** True for HBONE in either direction: the identities are told and the security policy is mutual_tls. */
  readonly mutualTls: boolean
}

/** Why a connection failed, as Istio's label `response_flags`; its TLS_FAILURE, for TLS that cannot be configured, has no cause here. */
export type FailureFlag =
  | 'DENY'
  | 'CONNECT'
  | 'H2_HANDSHAKE_FAILURE'
  | 'NETWORK_POLICY'
  | 'IDENTITY_ERROR'
  | 'CERT_REVOKED'

/** Every value of `response_flags`; `-` is no failure. */
export type ResponseFlag = '-' | FailureFlag

/** How a connection ended. `error` is the text of the access log. */
export type Outcome = 'success' | { readonly flag: FailureFlag; readonly error: string }

/**
 * Bytes carried so far, growing while the connection lives; a Splice is one. A is downstream (who opened the connection),
 * B upstream, in both directions of the proxy.
 */
export interface ByteCounters {
  readonly bytesAtoB: number
  readonly bytesBtoA: number
}

/** A connection that counts as open. Whoever got it ends it exactly once (later calls do nothing). */
export interface OpenConnection {
  /** The bytes from here on; replaces earlier counters, whose bytes stay counted. */
  attach(counters: ByteCounters): void
  /**
   * Another endpoint is tried instead of the present one. The access log tells the last one; in the metrics the connection is
   * closed for the one and opened for the other, so that for each opened = closed and bytes count where they went. It has not
   * failed: its client is told of nothing.
   */
  redirect(info: ConnectionInfo): void
  /** Writes the access line, counts closed (and failed), and lets go of the counters. */
  finish(outcome: Outcome): void
}

/** An attempt that ended before it was known who talks to whom: one WARN line, no metrics. */
export interface EarlyDenial {
  readonly direction: 'inbound' | 'outbound'
  readonly src: SocketAddress
  readonly dst: SocketAddress
  readonly error: string
}

/** Counts and logs connections. One per process; a pod's proxies share it. */
export interface ConnectionRecorder {
  opened(info: ConnectionInfo): OpenConnection
  denied(denial: EarlyDenial): void
  /** A data socket was accepted (one per TCP connection, not per stream); call `socketClosed` exactly once after it. */
  socketOpened(reporter: 'source' | 'destination'): void
  socketClosed(reporter: 'source' | 'destination'): void
  /** A name is resolved for a connection of the workload, or was remembered: `istio_on_demand_dns`. */
  nameUsed(source: WorkloadLabels, identity: SpiffeId, hostname: string): void
  /** A peer was refused, or its tunnel ended, because its certificate is revoked: once for each tunnel. */
  revoked(reporter: 'source' | 'destination'): void
}
