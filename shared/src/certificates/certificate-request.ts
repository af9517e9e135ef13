import { Buffer } from 'node:buffer'
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { SpiffeId } from '../identity/index.ts'
import { CertificateError } from './certificate-error.ts'
import {
  bytesOf,
  childrenOf,
  isTagged,
  objectIdentifier,
  objectIdentifierOf,
  octetsOf,
  readDer,
  sequence,
  sequenceOf,
  set,
  tagged,
  toDer,
  unsignedInteger,
  wholeBitStringOf,
  type DerNode,
} from './der.ts'
import { GENERAL_NAME, subjectAltName } from './extensions.ts'
import type { KeyPair } from './key-pair.ts'
import { OID } from './object-identifiers.ts'
import { readPem, writePem } from './pem.ts'
import { isSignedBy, signed } from './signature-algorithm.ts'

const LABEL = 'CERTIFICATE REQUEST'
/** Longest signing request in characters of PEM; one of ours has 500, one with an RSA-8192 key 3,500. */
const MAX_REQUEST_LENGTH = 16 * 1024
/** Longest common name in characters (X.520, ub-common-name). */
const MAX_COMMON_NAME_LENGTH = 64
const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const RSA_BITS = { min: 2048, max: 8192 }

/** A signing request whose signature was checked: the sender holds the private key. Everything else is a mere wish. */
export interface CertificateRequest {
  /** SubjectPublicKeyInfo: EC on a NIST curve, RSA of 2048 to 8192 bits, or Ed25519. */
  readonly publicKeyDer: Buffer
  readonly commonName: string | undefined
  /** What the sender would like as its names. An authority decides by who the sender is, never by these. */
  readonly uris: readonly string[]
}

/**
 * A PKCS#10 request (RFC 2986) for `identity`, as ztunnel writes it: an empty subject and one critical subject
 * alternative name with one URI. Returns PEM.
 */
export function createCsr(key: Pick<KeyPair, 'privateKey' | 'publicKeyDer'>, identity: SpiffeId): string {
  const names = subjectAltName({ uris: [identity.toString()] }, true)
  const attributes = tagged(0, sequence(objectIdentifier(OID.extensionRequest), set(sequence(names))))
  const body = sequence(unsignedInteger(Buffer.of(0)), sequence(), readDer(key.publicKeyDer), attributes)
  return writePem(LABEL, signed(body, key.privateKey))
}

/** Reads and checks a request in PEM. Throws CertificateError 'bad-request' with what is wrong. */
export function readCsr(pem: string): CertificateRequest {
  try {
    return read(pem)
  } catch (error) {
    if (!(error instanceof CertificateError) || error.code === 'bad-request') throw error
    throw new CertificateError('bad-request', `The signing request cannot be read: ${error.message}`, { cause: error })
  }
}

function read(pem: string): CertificateRequest {
  const [block, ...more] = readPem(pem, MAX_REQUEST_LENGTH)
  if (block?.label !== LABEL || more.length > 0) throw bad(`it must be one PEM block ${LABEL}.`)
  const [body, algorithm, signature] = sequenceOf(readDer(block.der), 'request')
  const [, subject, publicKey, attributes] = sequenceOf(body, 'request body')
  const publicKeyDer = toDer(sequence(...sequenceOf(publicKey, 'public key')))
  // Over what we parsed, written again: equal to the sent bytes if they are DER, and a bad signature if they are not.
  const signedBody = toDer(sequence(...sequenceOf(body, 'request body')))
  if (!isSignedBy(acceptedKey(publicKeyDer), signedBody, algorithm, wholeBitStringOf(signature, 'signature'))) {
    throw bad('its signature is not by the key that it asks for.')
  }
  return { publicKeyDer, commonName: commonNameOf(subject), uris: isTagged(attributes, 0) ? urisOf(attributes) : [] }
}

function acceptedKey(publicKeyDer: Buffer): KeyObject {
  const key = publicKeyOf(publicKeyDer)
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  const type = key.asymmetricKeyType
  if (type === 'ed25519') return key
  if (type === 'ec' && CURVES.has(namedCurve)) return key
  if (type === 'rsa' && modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max) return key
  throw bad(`its key must be EC (P-256, P-384, P-521), RSA (${RSA_BITS.min} to ${RSA_BITS.max} bits) or Ed25519.`)
}

function publicKeyOf(publicKeyDer: Buffer): KeyObject {
  try {
    return createPublicKey({ key: publicKeyDer, type: 'spki', format: 'der' })
  } catch (cause) {
    throw new CertificateError('bad-request', 'The signing request holds no usable public key.', { cause })
  }
}

function commonNameOf(subject: DerNode | undefined): string | undefined {
  const attributes = sequenceOf(subject, 'subject').flatMap((relative) => childrenOf(relative, 'relative name'))
  for (const attribute of attributes) {
    const [name, value] = sequenceOf(attribute, 'name attribute')
    if (objectIdentifierOf(name) !== OID.commonName) continue
    const text = bytesOf(value, 'common name').toString('utf8')
    if (text.length > MAX_COMMON_NAME_LENGTH || /[^\u0020-\u007e]/u.test(text)) {
      throw bad(`its common name must be at most ${MAX_COMMON_NAME_LENGTH} printable ASCII characters.`)
    }
    return text
  }
  return undefined
}

function urisOf(attributes: DerNode): string[] {
  const uris: string[] = []
  for (const attribute of childrenOf(attributes, 'attributes')) {
    const [name, values] = sequenceOf(attribute, 'attribute')
    if (objectIdentifierOf(name) !== OID.extensionRequest) continue
    for (const wanted of sequenceOf(childrenOf(values, 'attribute values')[0], 'extension request')) {
      const parts = sequenceOf(wanted, 'extension')
      if (objectIdentifierOf(parts[0]) !== OID.subjectAltName) continue
      const names = sequenceOf(readDer(octetsOf(parts.at(-1), 'extension value')), 'subject alternative name')
      const found = names.filter((candidate) => isTagged(candidate, GENERAL_NAME.uri))
      uris.push(...found.map((uri) => bytesOf(uri, 'URI name').toString('latin1')))
    }
  }
  return uris
}

function bad(what: string): CertificateError {
  return new CertificateError('bad-request', `The signing request is refused: ${what}`)
}
