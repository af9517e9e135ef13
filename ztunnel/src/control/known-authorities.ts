import {
  parseCertificate,
  parseX509,
  type CertificateManager,
  type ParsedCertificate,
} from '@ambit/shared/certificates'

/**
 * The CAs that came with the node's own certificates: their roots, and the intermediates of their chains. While the node has
 * no certificate, those that it knew last. Bounded by the certificates of the manager.
 */
export class KnownAuthorities {
  readonly #certificates: Pick<CertificateManager, 'list'>
  /** By PEM, each parsed once; undefined for one with a key that cannot be read, which signs nothing. */
  #parsed: ReadonlyMap<string, ParsedCertificate | undefined> = new Map()

  constructor(certificates: Pick<CertificateManager, 'list'>) {
    this.#certificates = certificates
  }

  /** As of now. */
  list(): readonly ParsedCertificate[] {
    const parsed = new Map<string, ParsedCertificate | undefined>()
    for (const { certificate } of this.#certificates.list()) {
      if (!certificate) continue
      for (const pem of [...certificate.rootsPem, ...certificate.chainPem.slice(1)])
        if (!parsed.has(pem)) parsed.set(pem, this.#parsed.has(pem) ? this.#parsed.get(pem) : parsedIfPossible(pem))
    }
    if (parsed.size > 0) this.#parsed = parsed
    return [...this.#parsed.values()].filter((authority) => authority !== undefined)
  }
}

function parsedIfPossible(pem: string): ParsedCertificate | undefined {
  try {
    const authority = parseCertificate(parseX509(pem))
    return authority.x509.publicKey.type === 'public' ? authority : undefined
  } catch {
    return undefined
  }
}
