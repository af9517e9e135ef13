import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import type { SpiffeId } from '../identity/index.ts'
import { CertificateError } from './certificate-error.ts'
import { readDer, type DerNode } from './der.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  keyIdOf,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.ts'
import { readKeyPair, type KeyPair } from './key-pair.ts'
import { KEY_USAGE, type TlsUsage } from './object-identifiers.ts'
import { parseCertificate, type ParsedCertificate } from './parsed-certificate.ts'
import { parseX509 } from './pem.ts'
import { signatureIdentifier } from './signature-algorithm.ts'
import { distinguishedName, writeCertificate, type CertificateFields } from './write-certificate.ts'

/** Certificates are valid from two minutes ago, for peers whose clock is behind. */
const CLOCK_SKEW_MS = 120_000

/** A CA certificate with its private key, checked to fit each other. Made by `readSigner`. */
export interface Signer {
  readonly certificate: ParsedCertificate
  readonly privateKey: KeyObject
}

/** From when on a certificate counts, and for how long. */
export interface Lifetime {
  readonly nowMs: number
  /** Positive. The certificate ends no later than its signer's does. */
  readonly ttlMs: number
}

/** What `issueCertificate` writes into a leaf. */
export interface LeafOptions extends Lifetime {
  readonly signer: Signer
  /** SubjectPublicKeyInfo of the holder, from `readCsr` or a key pair. */
  readonly publicKeyDer: Buffer
  /** The one URI name: who the holder is. Left out for a server that is known by DNS names or addresses. */
  readonly identity?: SpiffeId | undefined
  readonly dnsNames?: readonly string[] | undefined
  readonly ipAddresses?: readonly string[] | undefined
  /** Default none: an empty subject. */
  readonly commonName?: string | undefined
  /** Default both. */
  readonly usages?: readonly TlsUsage[] | undefined
}

/** What `issueAuthority` writes into the certificate of a root or an intermediate. */
export interface AuthorityOptions extends Lifetime {
  /** Left out for a root, which signs itself. */
  readonly signer?: Signer | undefined
  readonly key: Pick<KeyPair, 'privateKey' | 'publicKeyDer'>
  readonly organization: string
  readonly commonName?: string | undefined
  /** How many CAs may follow below this one, 0 to 127; default without limit. */
  readonly pathLength?: number | undefined
}

/**
 * A CA certificate and its key, ready to sign. Throws CertificateError 'bad-signer' when the key is not the certificate's or
 * the certificate is no CA's; 'malformed' when either cannot be read. Time is checked at each signing.
 */
export function readSigner(certificatePem: string, privateKeyPem: string): Signer {
  const certificate = parseCertificate(parseX509(certificatePem))
  const { privateKey } = readKeyPair(privateKeyPem)
  if (!certificate.x509.checkPrivateKey(privateKey)) {
    throw new CertificateError('bad-signer', 'The private key does not belong to the CA certificate.')
  }
  if (
    !certificate.isCa ||
    (certificate.keyUsage !== undefined && (certificate.keyUsage & KEY_USAGE.keyCertSign) === 0)
  ) {
    throw new CertificateError('bad-signer', 'The certificate is not one of a CA: it may not sign others.')
  }
  signatureIdentifier(privateKey) // throws for a kind of key that we cannot sign with
  return { certificate, privateKey }
}

/**
 * Signs a leaf certificate: X.509 v3, random serial, no CA, for digital signatures and key encipherment; the subject
 * alternative name is critical where the subject is empty (RFC 5280 section 4.2.1.6). Returns PEM.
 * Throws CertificateError 'signer-expired' or 'bad-lifetime'.
 */
export function issueCertificate(options: LeafOptions): string {
  const { signer, publicKeyDer, identity, dnsNames = [], ipAddresses = [], commonName, usages } = options
  const uris = identity === undefined ? [] : [identity.toString()]
  const isNamed = uris.length + dnsNames.length + ipAddresses.length > 0
  return writeCertificate({
    ...signedBy(signer, options),
    subject: distinguishedName({ commonName }),
    publicKeyDer,
    extensions: [
      keyUsage(KEY_USAGE.digitalSignature | KEY_USAGE.keyEncipherment),
      extendedKeyUsage(usages ?? ['serverAuth', 'clientAuth']),
      basicConstraints(undefined),
      subjectKeyIdentifier(keyIdOf(publicKeyDer)),
      authorityKeyIdentifier(keyIdOfSigner(signer)),
      ...(isNamed ? [subjectAltName({ uris, dnsNames, ipAddresses }, commonName === undefined)] : []),
    ],
  })
}

/**
 * Signs the certificate of a CA: a root by itself, an intermediate by `signer`. Returns PEM.
 * Throws CertificateError 'signer-expired' or 'bad-lifetime'.
 */
export function issueAuthority(options: AuthorityOptions): string {
  const { signer, key, organization, commonName, pathLength } = options
  const subject = distinguishedName({ organization, commonName })
  const keyId = keyIdOf(key.publicKeyDer)
  return writeCertificate({
    ...(signer ? signedBy(signer, options) : { issuer: subject, signingKey: key.privateKey, ...validityOf(options) }),
    subject,
    publicKeyDer: key.publicKeyDer,
    extensions: [
      keyUsage(KEY_USAGE.keyCertSign | KEY_USAGE.crlSign),
      basicConstraints({ pathLength }),
      subjectKeyIdentifier(keyId),
      authorityKeyIdentifier(signer ? keyIdOfSigner(signer) : keyId),
    ],
  })
}

type SignedFields = Pick<CertificateFields, 'issuer' | 'signingKey' | 'notBeforeMs' | 'notAfterMs'>

function signedBy(signer: Signer, lifetime: Lifetime): SignedFields {
  const { certificate, privateKey } = signer
  if (!(lifetime.nowMs < certificate.notAfterMs)) {
    throw new CertificateError(
      'signer-expired',
      'The CA certificate has expired: nothing can be signed with it; renew it.',
    )
  }
  const { notBeforeMs, notAfterMs } = validityOf(lifetime)
  return {
    issuer: nameFrom(certificate.subject),
    signingKey: privateKey,
    notBeforeMs,
    notAfterMs: Math.min(notAfterMs, certificate.notAfterMs),
  }
}

function validityOf({ nowMs, ttlMs }: Lifetime): { notBeforeMs: number; notAfterMs: number } {
  if (!(ttlMs > 0)) throw new CertificateError('bad-lifetime', 'The lifetime of a certificate must be positive.')
  return { notBeforeMs: nowMs - CLOCK_SKEW_MS, notAfterMs: nowMs + ttlMs }
}

/** The very bytes of the signer's subject, since issuers are found by comparing them. */
function nameFrom(der: string): DerNode {
  return readDer(Buffer.from(der, 'latin1'))
}

function keyIdOfSigner({ certificate }: Signer): Buffer {
  return certificate.subjectKeyId ?? keyIdOf(certificate.publicKeyDer)
}
