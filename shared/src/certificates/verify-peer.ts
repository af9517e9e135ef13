import type { X509Certificate } from 'node:crypto'
import type { ErrorSource } from '../errors/index.ts'
import { IdentityError, SpiffeId } from '../identity/index.ts'
import { CertificateError } from './certificate-error.ts'
import type { CrlSet } from './crl-set.ts'
import { parseCertificate, type ParsedCertificate } from './parsed-certificate.ts'
import { parseX509 } from './pem.ts'
import { verifyChain } from './verify-chain.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

/**
 * Who the client is, at the server: its chain must reach a root that came with our own certificate, be for client
 * authentication and be of our trust domain; there are no aliases. Which namespace or service account it may be is for
 * policy to say. `peerChain` as presented, leaf first. For a tunnel that is checked again after a CRL has changed, `nowMs` is
 * when it was established. Throws CertificateError, with source 'downstream'; code 'revoked' is the one to count.
 */
export function verifyClient(
  peerChain: readonly X509Certificate[],
  own: WorkloadCertificate,
  nowMs: number,
  crl?: CrlSet,
): SpiffeId {
  return withSource('downstream', () => {
    const id = identityOf(verifyChain(peerChain, anchorsOf(own), { usage: 'clientAuth', nowMs, crl }))
    if (id.trustDomain === own.identity.trustDomain) return id
    throw new CertificateError(
      'wrong-trust-domain',
      `The client ${id.toString()} is of another trust domain than ours, ${own.identity.trustDomain}.`,
    )
  })
}

/**
 * Who the server is, at the client: its chain must reach a root that came with our own certificate, be for server
 * authentication, and its identity must equal one of `expected`; an empty list never succeeds. DNS names and addresses play no
 * part. Throws CertificateError, with source 'upstream'.
 */
export function verifyServer(
  peerChain: readonly X509Certificate[],
  own: WorkloadCertificate,
  expected: readonly SpiffeId[],
  nowMs: number,
  crl?: CrlSet,
): SpiffeId {
  return withSource('upstream', () => {
    const id = identityOf(verifyChain(peerChain, anchorsOf(own), { usage: 'serverAuth', nowMs, crl }))
    if (expected.some((one) => one.equals(id))) return id
    const wanted = expected.length === 0 ? 'nobody is expected here' : `expected ${expected.slice(0, 3).join(' or ')}`
    throw new CertificateError('wrong-identity', `The server is ${id.toString()}; ${wanted}.`)
  })
}

/**
 * A peer has exactly one URI name. Istio takes the first that parses of several, but issues one; X.509-SVID (section 5.2)
 * has several refused, since whoever reads another of them sees another peer.
 */
function identityOf({ uris }: ParsedCertificate): SpiffeId {
  const [uri] = uris
  if (uri === undefined) throw new CertificateError('no-identity', "The peer's certificate names no SPIFFE id.")
  if (uris.length > 1)
    throw new CertificateError('no-identity', "The peer's certificate has several URI names; one is wanted.")
  try {
    return SpiffeId.parse(uri)
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error
    throw new CertificateError('no-identity', `The peer's certificate names no SPIFFE id. ${error.message}`, {
      cause: error,
    })
  }
}

/** The roots of a certificate, parsed once: 60 µs each, needed for every handshake. Goes with the certificate. */
const parsedAnchors = new WeakMap<WorkloadCertificate, readonly ParsedCertificate[]>()

function anchorsOf(own: WorkloadCertificate): readonly ParsedCertificate[] {
  const known = parsedAnchors.get(own)
  if (known) return known
  const anchors = own.rootsPem.map((pem) => parseCertificate(parseX509(pem)))
  parsedAnchors.set(own, anchors)
  return anchors
}

/** Says in errors which side the peer is on. */
function withSource<T>(source: ErrorSource, verify: () => T): T {
  try {
    return verify()
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    throw new CertificateError(error.code, error.message, { source, cause: error.cause })
  }
}
