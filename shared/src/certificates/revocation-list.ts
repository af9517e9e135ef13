import type { Buffer } from 'node:buffer'
import { CertificateError } from './certificate-error.ts'
import {
  bytesOf,
  childrenOf,
  isTagged,
  isTrue,
  objectIdentifierOf,
  octetsOf,
  readDer,
  sequence,
  sequenceOf,
  toDer,
  wholeBitStringOf,
  type DerNode,
} from './der.ts'
import { DerCursor, TAG } from './der-cursor.ts'
import { OID } from './object-identifiers.ts'
import type { ParsedCertificate } from './parsed-certificate.ts'
import { SerialIndex } from './serial-index.ts'
import { isAcceptedSignature, isSignedBy } from './signature-algorithm.ts'

/** A number of 16 octets and a date: lists of such entries are read without growing the index. */
const USUAL_ENTRY_BYTES = 35

/** Keys that are remembered not to have signed a list: CAs of its issuer's name, of which there is one as a rule. */
const MAX_STRANGERS = 16

/** One CertificateList (RFC 5280 section 5.1). */
export class RevocationList {
  /** Its name, as in ParsedCertificate.subject. */
  readonly issuer: string
  /** Of the key that has signed it, where it says so (RFC 5280 section 5.2.1): as in ParsedCertificate.subjectKeyId. */
  readonly keyId: Buffer | undefined
  readonly serials: SerialIndex
  /** All of it. */
  readonly der: Buffer
  readonly #body: Buffer
  readonly #algorithm: DerNode | undefined
  readonly #signature: Buffer
  /** The public key that has signed it, once it was found. */
  #signer: Buffer | undefined
  /** Public keys that have not. */
  readonly #strangers: Buffer[] = []

  /** Throws CertificateError 'malformed'. */
  constructor(der: Buffer) {
    this.der = der
    const file = new DerCursor(der)
    const list = file.enter(TAG.sequence, 'revocation list')
    if (!file.isAtEnd) throw new CertificateError('malformed', 'something follows the list.')
    this.#body = list.take('revocation list body')
    this.#algorithm = readDer(list.take('signature algorithm'))
    if (!isAcceptedSignature(objectIdentifierOf(sequenceOf(this.#algorithm, 'signature algorithm')[0]))) {
      throw new CertificateError('malformed', 'it is signed with an algorithm that is not accepted, such as SHA-1.')
    }
    this.#signature = wholeBitStringOf(readDer(list.take('signature')), 'signature')

    const body = new DerCursor(this.#body).enter(TAG.sequence, 'revocation list body')
    if (body.tag === TAG.integer) body.skip('version')
    body.skip('signature algorithm')
    this.issuer = toDer(sequence(...sequenceOf(readDer(body.take('issuer')), 'issuer'))).toString('latin1')
    body.skip('time')
    // What follows may each be absent: nextUpdate, the entries, [0] the extensions.
    while (!body.isAtEnd && body.tag !== TAG.sequence && body.tag !== TAG.context0) body.skip('time')
    this.serials = new SerialIndex(this.#body, Math.ceil(this.#body.length / USUAL_ENTRY_BYTES))
    if (body.tag === TAG.sequence) addSerials(this.serials, body.enter(TAG.sequence, 'revoked certificates'))
    this.keyId = keyIdOf(body.isAtEnd ? [] : extensionsOf(readDer(body.take('extensions'))))
  }

  /** Whether the key of `authority` has signed it. Hashes the whole list, once for each key. */
  isSignedBy({ publicKeyDer, x509 }: ParsedCertificate): boolean {
    if (this.#signer?.equals(publicKeyDer) === true) return true
    if (this.#strangers.some((key) => key.equals(publicKeyDer))) return false
    const isSigner = isSignedBy(x509.publicKey, this.#body, this.#algorithm, this.#signature)
    if (isSigner) this.#signer = publicKeyDer
    else if (this.#strangers.push(publicKeyDer) > MAX_STRANGERS) this.#strangers.shift()
    return isSigner
  }
}

/** There may be hundreds of thousands of entries, so nothing is made of them but the numbers. */
function addSerials(serials: SerialIndex, entries: DerCursor): void {
  while (!entries.isAtEnd) {
    const entry = entries.enter(TAG.sequence, 'revoked certificate')
    const { at } = entry
    entry.enter(TAG.integer, 'serial number')
    serials.add(at)
    entry.skip('time')
    if (!entry.isAtEnd) refuseCriticalOf(entry.enter(TAG.sequence, 'entry extensions'))
  }
}

function refuseCriticalOf(extensions: DerCursor): void {
  while (!extensions.isAtEnd) {
    const extension = extensions.enter(TAG.sequence, 'extension')
    const { at } = extension
    extension.skip('extension name')
    if (extension.tag !== TAG.boolean) continue
    const name = extension.since(at)
    if (isTrue(readDer(extension.take('boolean')))) throw critical(readDer(name))
  }
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
    const [name, isCritical] = sequenceOf(extension, 'extension')
    if (isTrue(isCritical)) throw critical(name)
  }
}

function critical(name: DerNode | undefined): CertificateError {
  return new CertificateError(
    'malformed',
    `it has a critical extension that is not understood: ${objectIdentifierOf(name)}.`,
  )
}

/** A list for a part of an issuer's certificates is as good as any, since what is not listed counts as unknown anyway. */
function isPlainDistributionPoint(extension: DerNode): boolean {
  const parts = sequenceOf(extension, 'extension')
  if (objectIdentifierOf(parts[0]) !== OID.issuingDistributionPoint) return false
  const point = sequenceOf(readDer(octetsOf(parts.at(-1), 'extension value')), 'issuing distribution point')
  const indirect = point.find((part) => isTagged(part, 4))
  return indirect === undefined || bytesOf(indirect, 'indirectCRL')[0] === 0
}
