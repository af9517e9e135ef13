import { Buffer } from 'node:buffer'
import { CertificateError } from './certificate-error.ts'
import type { ParsedCertificate } from './parsed-certificate.ts'
import { readPem } from './pem.ts'
import { RevocationList } from './revocation-list.ts'

/** Largest file of revocation lists, in bytes: about 200,000 entries, read in 0.1 s. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024
const PEM_PREFIX = '-----BEGIN'
const LABEL = 'X509 CRL'
/** What every list in DER begins with. */
const SEQUENCE = 0x30

/**
 * The revocation lists of a CRL file, with the rules of Istio's ztunnel: what no list speaks of is not revoked, and a list
 * counts also after its nextUpdate. A list revokes only certificates of the issuer whose key has signed it. Immutable.
 */
export class CrlSet {
  readonly #byIssuer = new Map<string, RevocationList[]>()

  private constructor(lists: readonly RevocationList[]) {
    for (const list of lists) {
      const known = this.#byIssuer.get(list.issuer)
      if (known) known.push(list)
      else this.#byIssuer.set(list.issuer, [list])
    }
  }

  /**
   * Reads a file: PEM with any number of lists (other blocks are skipped; none or an empty file: nothing is revoked), or one
   * list in DER. Throws CertificateError 'bad-crl'; whoever reloads then keeps the set that it had.
   */
  static load(content: string | Buffer): CrlSet {
    if (content.length > MAX_CRL_BYTES) {
      throw new CertificateError('bad-crl', `The revocation lists are larger than ${MAX_CRL_BYTES} bytes.`)
    }
    try {
      return new CrlSet(derOf(content).map((der) => new RevocationList(der)))
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error
      throw new CertificateError('bad-crl', `A revocation list cannot be used: ${error.message}`, { cause: error })
    }
  }

  /** Of lists in DER that a set had. */
  static fromDer(lists: readonly Buffer[]): CrlSet {
    return new CrlSet(lists.map((der) => new RevocationList(der)))
  }

  static of(lists: readonly RevocationList[]): CrlSet {
    return new CrlSet(lists)
  }

  get lists(): readonly RevocationList[] {
    return [...this.#byIssuer.values()].flat()
  }

  /** How many certificates all lists revoke. */
  get size(): number {
    return this.lists.reduce((sum, list) => sum + list.serials.size, 0)
  }

  /** Whether it has the same list. */
  has(list: RevocationList): boolean {
    return this.#listsNamed(list.issuer).some(({ der }) => der.equals(list.der))
  }

  /** The lists that `authority` has signed. */
  listsOf(authority: ParsedCertificate): readonly RevocationList[] {
    return this.#listsNamed(authority.subject).filter((list) => list.isSignedBy(authority))
  }

  /**
   * The lists that one of `authorities` should have signed and none has. A list that names its key (authority key identifier) may
   * be of another CA of the same name.
   */
  forged(authorities: readonly ParsedCertificate[]): readonly RevocationList[] {
    return this.lists.filter((list) => {
      const namesakes = authorities.filter((authority) => authority.subject === list.issuer)
      return namesakes.some((authority) => isMeantBy(list, authority)) && !isSignedByOneOf(list, namesakes)
    })
  }

  /** The issuers, as in ParsedCertificate.subject, of lists that none of `authorities` has signed. */
  unverified(authorities: readonly ParsedCertificate[]): readonly string[] {
    const lists = this.lists.filter((list) => !isSignedByOneOf(list, authorities))
    return [...new Set(lists.map(({ issuer }) => issuer))]
  }

  /**
   * Whether it cannot be told whom `issuer` has revoked: no list is signed by it, and there is one that should be, for none of
   * `authorities` has signed it either. Unlike RFC 5280, which leaves it open, and like rustls-webpki's, by which Istio's judges.
   */
  isUndecided(issuer: ParsedCertificate, authorities: readonly ParsedCertificate[]): boolean {
    const named = this.#listsNamed(issuer.subject)
    if (named.length === 0 || named.some((list) => list.isSignedBy(issuer))) return false
    return named.some((list) => isMeantBy(list, issuer) && !isSignedByOneOf(list, authorities))
  }

  /** `issuer` is the one whose key has signed `certificate`. */
  isRevoked(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
    return this.#listsNamed(issuer.subject).some(
      // The signature is looked at last: only for a certificate that is listed.
      (list) => list.serials.has(certificate.serial) && list.isSignedBy(issuer),
    )
  }

  #listsNamed(issuer: string): readonly RevocationList[] {
    return this.#byIssuer.get(issuer) ?? []
  }
}

function isSignedByOneOf(list: RevocationList, authorities: readonly ParsedCertificate[]): boolean {
  return authorities.some((authority) => authority.subject === list.issuer && list.isSignedBy(authority))
}

function isMeantBy({ keyId }: RevocationList, { subjectKeyId }: ParsedCertificate): boolean {
  return keyId === undefined || subjectKeyId === undefined || keyId.equals(subjectKeyId)
}

function derOf(content: string | Buffer): Buffer[] {
  if (content.length === 0) return []
  const bytes = Buffer.from(content)
  const isPem = bytes.toString('latin1', 0, PEM_PREFIX.length) === PEM_PREFIX
  if (!isPem) {
    if (bytes[0] !== SEQUENCE) throw new CertificateError('malformed', `it is neither PEM (${PEM_PREFIX}…) nor DER.`)
    return [bytes]
  }
  return readPem(bytes.toString('latin1'), MAX_CRL_BYTES)
    .filter(({ label }) => label === LABEL)
    .map(({ der }) => der)
}
