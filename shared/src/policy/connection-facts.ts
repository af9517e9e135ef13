import type { SpiffeId } from '../identity/index.ts'
import type { SocketAddress } from '../ip/index.ts'

/** What a policy may ask about one connection at its receiver. Every value is observed or verified, none is claimed. */
export interface ConnectionFacts {
  /** The TCP peer: for waypoint traffic the waypoint's address, not the client's. */
  readonly source: SocketAddress
  /** Where the application is dialled: after an application tunnel has replaced the port. */
  readonly destination: SocketAddress
  /** What mutual TLS verified; undefined for plaintext. */
  readonly identity: SpiffeId | undefined
  /** The network of the destination. No match kind looks at it (as in Istio); it identifies the connection in logs. */
  readonly network: string
}
