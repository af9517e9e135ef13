import type { Buffer } from 'node:buffer'
import type { X509Certificate } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'
import {
  bitFlagsOf,
  bytesOf,
  childrenOf,
  isTagged,
  isTrue,
  isUniversal,
  objectIdentifierOf,
  octetsOf,
  readDer,
  sequenceOf,
  toDer,
  UNIVERSAL,
  type DerNode,
} from './der.ts'
import { GENERAL_NAME } from './extensions.ts'
import { readNameConstraints, type NameConstraints } from './name-constraints.ts'
import { OID } from './object-identifiers.ts'

/** Most extensions that a certificate may have; real ones have about ten. */
const MAX_EXTENSIONS = 32
/** Most names in one subject alternative name. */
const MAX_NAMES = 256

/** What node:crypto does not tell of a certificate, read from its DER. Names are compared by their bytes, as DER. */
export interface ParsedCertificate {
  readonly x509: X509Certificate
  readonly subject: string
  readonly issuer: string
  /** In hex, without leading zero octets. */
  readonly serial: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly publicKeyDer: Buffer
  /** Object identifier of the algorithm that it is signed with. */
  readonly signatureAlgorithm: string
  readonly isCa: boolean
  readonly pathLength: number | undefined
  /** Bits as in KEY_USAGE; undefined when the extension is absent. */
  readonly keyUsage: number | undefined
  /** Object identifiers; undefined when the extension is absent. */
  readonly extendedKeyUsages: readonly string[] | undefined
  /**
   * The URIs of the subject alternative name, each as the bytes say (latin1): not checked, may hold anything. `subjectAltName` of
   * node:crypto joins names with commas, so that one name could pass for two (CVE-2021-44532); here each is whole.
   */
  readonly uris: readonly string[]
  /** What the names below this CA are limited to; undefined when the extension is absent. */
  readonly nameConstraints: NameConstraints | undefined
  readonly subjectKeyId: Buffer | undefined
}

/** Extensions that may be critical: those that are checked, and policies, which say nothing of who somebody is. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  OID.keyUsage,
  OID.subjectAltName,
  OID.basicConstraints,
  OID.extendedKeyUsage,
  OID.nameConstraints,
  OID.certificatePolicies,
])

/**
 * Reads a certificate's fields. Throws CertificateError 'malformed' for anything that is not as RFC 5280 says: an extension
 * that comes twice, a critical one that nobody here understands, a name that is no string.
 */
export function parseCertificate(x509: X509Certificate): ParsedCertificate {
  const [body, algorithm] = sequenceOf(readDer(x509.raw), 'certificate')
  const fields = sequenceOf(body, 'certificate body')
  const hasVersion = isTagged(fields[0], 0)
  const [serial, , issuer, , subject, publicKey, ...rest] = hasVersion ? fields.slice(1) : fields
  return {
    x509,
    subject: nameOf(subject),
    issuer: nameOf(issuer),
    serial: serialNumberOf(serial),
    notBeforeMs: x509.validFromDate.getTime(),
    notAfterMs: x509.validToDate.getTime(),
    publicKeyDer: toDer(asSequence(publicKey, 'public key')),
    signatureAlgorithm: objectIdentifierOf(sequenceOf(algorithm, 'signature algorithm')[0]),
    ...readExtensions(rest.find((field) => isTagged(field, 3))),
  }
}

function serialNumberOf(node: DerNode | undefined): string {
  return bytesOf(node, 'serial number')
    .toString('hex')
    .replace(/^(?:00)+(?=..)/u, '')
}

type ExtensionFields = Pick<
  ParsedCertificate,
  'isCa' | 'pathLength' | 'keyUsage' | 'extendedKeyUsages' | 'uris' | 'nameConstraints' | 'subjectKeyId'
>

function readExtensions(field: DerNode | undefined): ExtensionFields {
  const values = field === undefined ? new Map<string, DerNode>() : valuesOf(field)
  const [authority, pathLength] = constraintsOf(values.get(OID.basicConstraints))
  const usage = values.get(OID.keyUsage)
  const usages = values.get(OID.extendedKeyUsage)
  const names = values.get(OID.subjectAltName)
  const constraints = values.get(OID.nameConstraints)
  const keyId = values.get(OID.subjectKeyIdentifier)
  return {
    isCa: authority,
    pathLength,
    keyUsage: usage && bitFlagsOf(usage, 'key usage'),
    extendedKeyUsages: usages && sequenceOf(usages, 'extended key usage').map((name) => objectIdentifierOf(name)),
    uris: names ? urisOf(names) : [],
    nameConstraints: constraints && readNameConstraints(constraints),
    subjectKeyId: keyId && octetsOf(keyId, 'subject key identifier'),
  }
}

function valuesOf(field: DerNode): Map<string, DerNode> {
  const extensions = sequenceOf(childrenOf(field, 'extensions')[0], 'extensions')
  if (extensions.length > MAX_EXTENSIONS)
    throw new CertificateError('malformed', 'The certificate has too many extensions.')
  const values = new Map<string, DerNode>()
  for (const extension of extensions) {
    const parts = sequenceOf(extension, 'extension')
    const name = objectIdentifierOf(parts[0])
    const isCritical = isTrue(parts[1])
    const isUnderstood = UNDERSTOOD.has(name)
    if (values.has(name)) throw new CertificateError('malformed', `The certificate has the extension ${name} twice.`)
    if (isCritical && !isUnderstood) {
      throw new CertificateError(
        'malformed',
        `The certificate has a critical extension that is not understood: ${name}.`,
      )
    }
    // What nobody reads need not be DER inside; remembered all the same, to notice a second one.
    const isRead = isUnderstood || name === OID.subjectKeyIdentifier
    values.set(name, isRead ? readDer(octetsOf(parts.at(-1), 'extension value')) : extension)
  }
  return values
}

function constraintsOf(node: DerNode | undefined): [isCa: boolean, pathLength: number | undefined] {
  if (node === undefined) return [false, undefined]
  const parts = sequenceOf(node, 'basic constraints')
  const isCa = isTrue(parts[0])
  const length = parts.find((part) => isUniversal(part, UNIVERSAL.INTEGER))
  if (length === undefined) return [isCa, undefined]
  const bytes = bytesOf(length, 'path length')
  // No chain that we follow is as long as 127; a longer or negative limit is nonsense.
  if (bytes.length !== 1 || (bytes[0] ?? 0) > 0x7f)
    throw new CertificateError('malformed', 'A path length is out of range.')
  return [isCa, bytes[0]]
}

function urisOf(node: DerNode): string[] {
  const names = sequenceOf(node, 'subject alternative name')
  if (names.length > MAX_NAMES) throw new CertificateError('malformed', 'The certificate has too many names.')
  return names
    .filter((name) => isTagged(name, GENERAL_NAME.uri))
    .map((name) => bytesOf(name, 'URI name').toString('latin1'))
}

function nameOf(node: DerNode | undefined): string {
  return toDer(asSequence(node, 'name')).toString('latin1')
}

function asSequence(node: DerNode | undefined, what: string): DerNode {
  sequenceOf(node, what)
  // sequenceOf has thrown if it is undefined.
  return node as DerNode
}
