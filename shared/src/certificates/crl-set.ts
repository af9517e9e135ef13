import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'
import {
  bytesOf,
  childrenOf,
  isTagged,
  isTrue,
  isUniversal,
  objectIdentifierOf,
  octetsOf,
  readDer,
  sequence,
  sequenceOf,
  toDer,
  UNIVERSAL,
  wholeBitStringOf,
  type DerNode,
} from './der.ts'
import { OID } from './object-identifiers.ts'
import { serialNumberOf, type ParsedCertificate } from './parsed-certificate.ts'
import { readPem } from './pem.ts'
import { isAcceptedSignature, isSignedBy } from './signature-algorithm.ts'

/** Largest file of revocation lists, in bytes: about 200,000 entries, read in half a second. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024
const PEM_PREFIX = '-----BEGIN'
const LABEL = 'X509 CRL'
/** What every list in DER begins with. */
const SEQUENCE = 0x30

/**
 * The revocation lists of a CRL file, with the rules of Istio's ztunnel: what no list speaks of is not revoked, and a list
 * counts also after its nextUpdate. A list counts only for certificates of the issuer whose key has signed it. Immutable.
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

  /** How many lists there are. */
  get lists(): number {
    return [...this.#byIssuer.values()].flat().length
  }

  /** How many certificates all lists revoke. */
  get size(): number {
    return [...this.#byIssuer.values()].flat().reduce((sum, list) => sum + list.serials.size, 0)
  }

  /** `issuer` is the one whose key has signed `certificate`. */
  isRevoked(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
    const lists = this.#byIssuer.get(issuer.subject) ?? []
    return lists.some((list) => list.serials.has(certificate.serial) && list.isSignedBy(issuer.x509.publicKey))
  }
}

/** One CertificateList (RFC 5280 section 5.1). */
class RevocationList {
  readonly issuer: string
  /** As in ParsedCertificate.serial. */
  readonly serials: ReadonlySet<string>
  readonly #body: Buffer
  readonly #algorithm: DerNode | undefined
  readonly #signature: Buffer

  constructor(der: Buffer) {
    const [body, algorithm, signature] = sequenceOf(readDer(der), 'revocation list')
    const fields = sequenceOf(body, 'revocation list body')
    const hasVersion = isUniversal(fields[0], UNIVERSAL.INTEGER)
    const [, issuer, , ...rest] = hasVersion ? fields.slice(1) : fields
    this.issuer = toDer(sequence(...sequenceOf(issuer, 'issuer'))).toString('latin1')
    this.serials = new Set(revokedEntries(rest).map((entry) => serialOf(entry)))
    checkExtensions(rest.find((field) => isTagged(field, 0)))
    this.#body = toDer(sequence(...fields))
    this.#algorithm = algorithm
    if (!isAcceptedSignature(objectIdentifierOf(sequenceOf(algorithm, 'signature algorithm')[0]))) {
      throw new CertificateError('malformed', 'it is signed with an algorithm that is not accepted, such as SHA-1.')
    }
    this.#signature = wholeBitStringOf(signature, 'signature')
  }

  /** Asked only for a certificate that is listed, so once for each refused handshake. */
  isSignedBy(key: KeyObject): boolean {
    return isSignedBy(key, this.#body, this.#algorithm, this.#signature)
  }
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

/** Of what follows thisUpdate: nextUpdate, the entries, [0] the extensions; each may be absent. */
function revokedEntries(fields: readonly DerNode[]): readonly DerNode[] {
  const entries = fields.find((field) => isUniversal(field, UNIVERSAL.SEQUENCE))
  return entries === undefined ? [] : sequenceOf(entries, 'revoked certificates')
}

function serialOf(entry: DerNode): string {
  const [serial, , extensions] = sequenceOf(entry, 'revoked certificate')
  if (extensions !== undefined) refuseCritical(sequenceOf(extensions, 'entry extensions'))
  return serialNumberOf(serial)
}

/** Delta lists and lists that speak for other issuers say so in a critical extension; read as plain ones they would lie. */
function checkExtensions(field: DerNode | undefined): void {
  if (field === undefined) return
  const extensions = sequenceOf(childrenOf(field, 'extensions')[0], 'extensions')
  refuseCritical(extensions.filter((extension) => !isPlainDistributionPoint(extension)))
}

function refuseCritical(extensions: readonly DerNode[]): void {
  for (const extension of extensions) {
    const [name, critical] = sequenceOf(extension, 'extension')
    if (!isTrue(critical)) continue
    throw new CertificateError(
      'malformed',
      `it has a critical extension that is not understood: ${objectIdentifierOf(name)}.`,
    )
  }
}

/** A list for a part of an issuer's certificates is as good as any, since what is not listed counts as unknown anyway. */
function isPlainDistributionPoint(extension: DerNode): boolean {
  const parts = sequenceOf(extension, 'extension')
  if (objectIdentifierOf(parts[0]) !== OID.issuingDistributionPoint) return false
  const point = sequenceOf(readDer(octetsOf(parts.at(-1), 'extension value')), 'issuing distribution point')
  const indirect = point.find((part) => isTagged(part, 4))
  return indirect === undefined || bytesOf(indirect, 'indirectCRL')[0] === 0
}
