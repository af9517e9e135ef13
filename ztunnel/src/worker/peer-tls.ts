import type { X509Certificate } from 'node:crypto'
import type { SecureContext } from 'node:tls'
import { CertificateError, type CrlSet } from '@ambit/shared/certificates'
import { HboneError, type ClientTls, type ServerTls } from '@ambit/shared/hbone'
import type { SpiffeId } from '@ambit/shared/identity'

/** Who the peer is, by the chain that it presented. Throws CertificateError to refuse. */
export type Judge = (chain: X509Certificate[], nowMs: number, crl: CrlSet | undefined) => SpiffeId

export interface PeerTlsOptions {
  readonly context: SecureContext
  readonly judge: Judge
  readonly now: () => number
  readonly crl: () => CrlSet | undefined
  /** A peer was refused, or its connection ended, because of a revoked certificate. */
  readonly onRevoked: () => void
}

/** The TLS of one connection: judges the peer when it comes, and again whenever the revocation lists change. */
export class PeerTls implements ClientTls, ServerTls {
  readonly context: SecureContext
  readonly #options: PeerTlsOptions
  #accepted: { readonly chain: X509Certificate[]; readonly atMs: number } | undefined

  constructor(options: PeerTlsOptions) {
    this.context = options.context
    this.#options = options
  }

  verify(chain: X509Certificate[]): SpiffeId {
    const { judge, now, crl, onRevoked } = this.#options
    const atMs = now()
    try {
      const id = judge(chain, atMs, crl())
      this.#accepted = { chain, atMs }
      return id
    } catch (error) {
      if (isRevocation(error)) onRevoked()
      throw error
    }
  }

  /**
   * True where the accepted peer would be refused now for being revoked, which is then counted. Judged as of when it came:
   * that its certificate has expired since ends no connection (Istio's rule).
   */
  isRevoked(): boolean {
    if (this.#accepted === undefined) return false
    const { judge, crl, onRevoked } = this.#options
    try {
      judge(this.#accepted.chain, this.#accepted.atMs, crl())
      return false
    } catch (error) {
      if (!isRevocation(error)) return false
      onRevoked()
      return true
    }
  }
}

/** What ends the tunnels of a peer that is revoked while they are open. */
export function revokedPeer(): HboneError {
  return new HboneError('revoked', "the peer's certificate has been revoked")
}

function isRevocation(error: unknown): boolean {
  return error instanceof CertificateError && error.code === 'revoked'
}
