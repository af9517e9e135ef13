import type { Buffer } from 'node:buffer'
import { sign, verify, type KeyObject } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'
import {
  bitString,
  nullValue,
  objectIdentifier,
  objectIdentifierOf,
  sequence,
  sequenceOf,
  toDer,
  type DerNode,
} from './der.ts'

interface SignatureAlgorithm {
  readonly oid: string
  readonly keyType: 'ec' | 'rsa' | 'ed25519'
  /** The curve whose keys sign with this algorithm; verifying takes any curve. */
  readonly curve?: string
  /** Undefined where the scheme hashes by itself. */
  readonly digest?: 'sha256' | 'sha384' | 'sha512'
}

/** What we sign with and accept; SHA-1 and MD5 are left out on purpose. A key signs with the first that fits it. */
const ALGORITHMS: readonly SignatureAlgorithm[] = [
  { oid: '1.2.840.10045.4.3.2', keyType: 'ec', curve: 'prime256v1', digest: 'sha256' },
  { oid: '1.2.840.10045.4.3.3', keyType: 'ec', curve: 'secp384r1', digest: 'sha384' },
  { oid: '1.2.840.10045.4.3.4', keyType: 'ec', curve: 'secp521r1', digest: 'sha512' },
  { oid: '1.2.840.113549.1.1.11', keyType: 'rsa', digest: 'sha256' },
  { oid: '1.2.840.113549.1.1.12', keyType: 'rsa', digest: 'sha384' },
  { oid: '1.2.840.113549.1.1.13', keyType: 'rsa', digest: 'sha512' },
  { oid: '1.3.101.112', keyType: 'ed25519' },
]

/** The AlgorithmIdentifier that `privateKey` signs with. Throws CertificateError 'bad-signer' for a key of another kind. */
export function signatureIdentifier(privateKey: KeyObject): DerNode {
  const { oid, keyType } = algorithmFor(privateKey)
  // RSA's parameters are NULL, those of the others are absent (RFC 4055 section 5, RFC 5758, RFC 8410).
  return keyType === 'rsa' ? sequence(objectIdentifier(oid), nullValue()) : sequence(objectIdentifier(oid))
}

/** The outer form of certificates, requests and CRLs: SEQUENCE { body, algorithm, signature over the body }, in DER. */
export function signed(body: DerNode, privateKey: KeyObject): Buffer {
  const signature = sign(algorithmFor(privateKey).digest, toDer(body), privateKey)
  return toDer(sequence(body, signatureIdentifier(privateKey), bitString(signature)))
}

/** True when `signature` over `body` is by the holder of `publicKey`, with an algorithm that we accept. */
export function isSignedBy(
  publicKey: KeyObject,
  body: Buffer,
  identifier: DerNode | undefined,
  signature: Buffer,
): boolean {
  const oid = objectIdentifierOf(sequenceOf(identifier, 'signature algorithm')[0])
  const algorithm = ALGORITHMS.find((known) => known.oid === oid)
  if (algorithm === undefined || algorithm.keyType !== publicKey.asymmetricKeyType) return false
  return verify(algorithm.digest, body, publicKey, signature)
}

/** True for the name of an algorithm that a certificate may be signed with. */
export function isAcceptedSignature(oid: string): boolean {
  return ALGORITHMS.some((known) => known.oid === oid)
}

function algorithmFor(privateKey: KeyObject): SignatureAlgorithm {
  const { asymmetricKeyType, asymmetricKeyDetails } = privateKey
  const found = ALGORITHMS.find(
    ({ keyType, curve }) =>
      keyType === asymmetricKeyType && (curve === undefined || curve === asymmetricKeyDetails?.namedCurve),
  )
  if (found) return found
  throw new CertificateError(
    'bad-signer',
    `Cannot sign with a key of type ${asymmetricKeyType ?? 'unknown'}; use EC, RSA or Ed25519.`,
  )
}
