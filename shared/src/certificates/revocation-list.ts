import type { Buffer } from 'node:buffer'
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
import { isAcceptedSignature, isSignedBy } from './signature-algorithm.ts'

/** One CertificateList (RFC 5280 section 5.1). */
export class RevocationList {
  /** Its name, as in ParsedCertificate.subject. */
  readonly issuer: string
  /** Of the key that has signed it, where it says so (RFC 5280 section 5.2.1): as in ParsedCertificate.subjectKeyId. */
  readonly keyId: Buffer | undefined
  /** As in ParsedCertificate.serial. */
  readonly serials: ReadonlySet<string>
  readonly #body: Buffer
  readonly #algorithm: DerNode | undefined
  readonly #signature: Buffer
  /** The public key that has signed it, once it was found. */
  #signer: Buffer | undefined

  /** Throws CertificateError 'malformed'. */
  constructor(der: Buffer) {
    const [body, algorithm, signature] = sequenceOf(readDer(der), 'revocation list')
    const fields = sequenceOf(body, 'revocation list body')
    const hasVersion = isUniversal(fields[0], UNIVERSAL.INTEGER)
    const [, issuer, , ...rest] = hasVersion ? fields.slice(1) : fields
    this.issuer = toDer(sequence(...sequenceOf(issuer, 'issuer'))).toString('latin1')
    this.serials = new Set(revokedEntries(rest).map((entry) => serialOf(entry)))
    this.keyId = keyIdOf(extensionsOf(rest.find((field) => isTagged(field, 0))))
    this.#body = toDer(sequence(...fields))
    this.#algorithm = algorithm
    if (!isAcceptedSignature(objectIdentifierOf(sequenceOf(algorithm, 'signature algorithm')[0]))) {
      throw new CertificateError('malformed', 'it is signed with an algorithm that is not accepted, such as SHA-1.')
    }
    this.#signature = wholeBitStringOf(signature, 'signature')
  }

  /** Whether the key of `authority` has signed it. Hashes the whole list, but for the key that is known to have. */
  isSignedBy({ publicKeyDer, x509 }: ParsedCertificate): boolean {
    if (this.#signer?.equals(publicKeyDer) === true) return true
    if (!isSignedBy(x509.publicKey, this.#body, this.#algorithm, this.#signature)) return false
    this.#signer = publicKeyDer
    return true
  }
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
function extensionsOf(field: DerNode | undefined): readonly DerNode[] {
  if (field === undefined) return []
  const extensions = sequenceOf(childrenOf(field, 'extensions')[0], 'extensions')
  refuseCritical(extensions.filter((extension) => !isPlainDistributionPoint(extension)))
  return extensions
}

function keyIdOf(extensions: readonly DerNode[]): Buffer | undefined {
  for (const extension of extensions) {
    const parts = sequenceOf(extension, 'extension')
    if (objectIdentifierOf(parts[0]) !== OID.authorityKeyIdentifier) continue
    const fields = sequenceOf(readDer(octetsOf(parts.at(-1), 'extension value')), 'authority key identifier')
    const keyId = fields.find((field) => isTagged(field, 0))
    return keyId && bytesOf(keyId, 'key identifier')
  }
  return undefined
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
