import type { X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import type { CancelSignal } from '../cancellation/index.ts'
import type { SpiffeId } from '../identity/index.ts'
import type { Splice, TcpEnd } from '../io/byte-io.ts'
import type { HboneError } from './hbone-error.ts'

/** What one TLS handshake towards a peer needs. Asked for anew for every connection, so that a rotated certificate counts at once. */
export interface ClientTls {
  readonly context: SecureContext
  /** Judges the peer's chain, leaf first. Gives the identity that is to be accepted, throws to refuse. */
  verify(chain: X509Certificate[]): SpiffeId
}

/** What a CONNECT asks for. */
export interface TunnelRequest {
  /** `ip:port` or `hostname:port`, where the peer is to take the bytes. */
  readonly authority: string
  /** Beside the pseudo-headers; names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Gives up: the stream is reset (CANCEL) if it was begun. */
  readonly signal?: CancelSignal
}

/** A tunnel that the peer has accepted with 200. Its holder must do exactly one of: splice it, or reset it. */
export interface OutgoingTunnel {
  readonly peer: SpiffeId | undefined
  /** Joins the tunnel with `app`, which it owns from here. A is the app, B the tunnel. */
  splice(app: TcpEnd): Splice
  /** Ends the tunnel at once with RST_STREAM(CANCEL). Idempotent. */
  reset(): void
}

/** One HTTP/2 connection over TLS to an HBONE peer, our end being the client: what the pool keeps. */
export interface HboneClientConnection {
  /** New tunnels may be opened: no GOAWAY was received or sent and nothing is failing. Never true again once false. */
  readonly usable: boolean
  /** Streams begun and not yet ended on both sides. */
  readonly activeStreams: number
  /** The peer's SETTINGS_MAX_CONCURRENT_STREAMS once known, before that (and where it sets none) Infinity. May change. */
  readonly maxStreams: number
  /** The peer's first SETTINGS have come: `maxStreams` is its word. Never false again once true. */
  readonly knowsLimits: boolean
  readonly peer: SpiffeId | undefined
  /** Called when usable, activeStreams or maxStreams changes; never from inside open(). Set by the owner. */
  onChange: () => void
  /** Resolves, never rejects, when the connection is closed and all its streams have ended. */
  readonly closed: Promise<void>
  /**
   * Sends a CONNECT and waits for the answer. `activeStreams` counts it from before open() returns.
   * Rejects with HboneError `status` (answer other than 200), `h2` (with `unprocessed` where the peer refused the stream or
   * said by GOAWAY that it did not look at it), `answer-timeout`, or `aborted`.
   */
  open(request: TunnelRequest): Promise<OutgoingTunnel>
  /** No new tunnels; closes with GOAWAY(NO_ERROR) once the last one has ended. Idempotent. */
  drain(): void
  /** Ends all tunnels, with `reason` where one is given, and the connection at once. Idempotent. */
  destroy(reason?: HboneError): void
}
