import type { X509Certificate } from 'node:crypto'
import {
  CertificateError,
  CrlSet,
  parseCertificate,
  parsePemChain,
  readSigner,
  type ParsedCertificate,
  type Signer,
} from '../../certificates/index.ts'
import { messageOf } from '../../errors/index.ts'
import { CaError } from '../ca-error.ts'

/** Most CA certificates between a leaf and its root. */
const MAX_INTERMEDIATES = 6

/** All that the CA signs with and hands out, of one moment. */
export interface SigningMaterial {
  readonly signer: Signer
  /** What a leaf's holder presents after the leaf, in order: the signer's own certificate first, unless it is a root. */
  readonly intermediatesPem: readonly string[]
  /** All roots in one text; several while a root is being replaced. */
  readonly rootsPem: string
  /** Revocation lists of the CAs, to be given to proxies; empty where there are none. */
  readonly crlPem: string
  /** When the first certificate of the signer's chain ends, root included: nothing signed is valid for longer. */
  readonly notAfterMs: number
}

/** The texts of a signing directory, not yet looked at. */
export interface SigningFiles {
  readonly certificatePem: string
  readonly privateKeyPem: string
  /** May hold the signer's own certificate and roots too, in any order: only what leads to a root is used. */
  readonly chainPem: string
  readonly rootsPem: string
  /** Empty where there is none. */
  readonly crlPem: string
}

/** Where the CA finds its signing material; it may change while the CA runs. */
export interface SigningSource {
  current(): SigningMaterial
  /** Calls `listener` after each change, until the returned function is called. */
  onChange(listener: () => void): () => void
  close(): void
}

/**
 * Checks that the parts fit: the key is the certificate's, that is a CA's and has not expired, its chain leads to one of the
 * roots, and no certificate of it is revoked. Throws CaError 'bad-authority' with what is wrong.
 */
export function readSigningMaterial(files: SigningFiles, nowMs: number): SigningMaterial {
  try {
    const signer = readSigner(files.certificatePem, files.privateKeyPem)
    const roots = parsePemChain(files.rootsPem)
    if (roots.length === 0) throw new CertificateError('no-root', 'There is no root certificate.')
    const path = pathToRoot(signer.certificate, parsePemChain(files.chainPem), roots)
    const crl = CrlSet.load(files.crlPem)
    for (const [index, certificate] of path.entries()) checkAuthority(certificate, path[index + 1], crl, nowMs)
    return {
      signer,
      intermediatesPem: path.slice(0, -1).map(({ x509 }) => pemOf(x509)),
      rootsPem: roots.map((root) => pemOf(root)).join(''),
      crlPem: files.crlPem,
      notAfterMs: Math.min(...path.map(({ notAfterMs }) => notAfterMs)),
    }
  } catch (cause) {
    throw new CaError('bad-authority', `The CA certificate cannot be used: ${messageOf(cause)}`, { cause })
  }
}

/** The signer's certificate, each issuer in turn, and last a root; the signer alone when it is a root itself. */
function pathToRoot(
  signer: ParsedCertificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): ParsedCertificate[] {
  const path = [signer]
  let last = signer.x509
  while (path.length <= MAX_INTERMEDIATES) {
    const current = last
    if (roots.some((root) => root.raw.equals(current.raw))) return path
    const issuer = roots.find(isIssuerOf(current)) ?? intermediates.find(isIssuerOf(current))
    if (issuer === undefined || issuer.raw.equals(current.raw)) break
    path.push(parseCertificate(issuer))
    last = issuer
  }
  throw new CertificateError('untrusted', 'Its chain does not lead to one of the root certificates.')
}

function isIssuerOf(certificate: X509Certificate): (candidate: X509Certificate) => boolean {
  return (candidate) => certificate.checkIssued(candidate) && certificate.verify(candidate.publicKey)
}

function checkAuthority(
  certificate: ParsedCertificate,
  issuer: ParsedCertificate | undefined,
  crl: CrlSet,
  nowMs: number,
): void {
  const { isCa, notBeforeMs, notAfterMs, x509 } = certificate
  const name = x509.subject.replaceAll('\n', ', ')
  if (!isCa) throw new CertificateError('wrong-usage', `${name} in its chain is not a CA.`)
  if (nowMs >= notAfterMs) {
    throw new CertificateError('expired', `${name} expired at ${new Date(notAfterMs).toISOString()}.`)
  }
  if (nowMs < notBeforeMs) {
    throw new CertificateError('not-yet-valid', `${name} is valid from ${new Date(notBeforeMs).toISOString()}.`)
  }
  if (issuer && crl.isRevoked(certificate, issuer)) throw new CertificateError('revoked', `${name} is revoked.`)
}

function pemOf(certificate: X509Certificate): string {
  const pem = certificate.toString()
  return pem.endsWith('\n') ? pem : `${pem}\n`
}
