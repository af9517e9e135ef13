import { constants, type X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { MAX_INTERMEDIATES } from './verify-chain.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

const CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256'
const POST_QUANTUM_GROUP = 'X25519MLKEM768'
/** Those of SP 800-56A that everybody in a mesh has; Istio's builds for FIPS take the same. */
const APPROVED_GROUPS = 'P-256:P-384'
/**
 * Post-quantum first. The star has the client send a key share for both at once (measured: no dearer), which saves a round
 * trip with a peer that has only X25519.
 */
const GROUPS = `*${POST_QUANTUM_GROUP}:*X25519:P-256:P-384`
/** For an OpenSSL before 3.5, which knows neither ML-KEM nor the star. */
const CLASSIC_GROUPS = 'X25519:P-256:P-384'

/**
 * Istio's COMPLIANCE_POLICY, for all our TLS. `pqc`: no handshake without X25519MLKEM768. `fips`: key exchange by P-256 or P-384
 * only; all else (TLS 1.3, AES-GCM, ECDSA on P-256) is approved anyway. Whether the module that does it is a validated one is
 * for whoever built Node's OpenSSL.
 */
export type CompliancePolicy = 'none' | 'pqc' | 'fips'

/** The groups that a policy leaves, for `ecdhCurve`; undefined: any. */
export function groupsUnder(policy: CompliancePolicy): string | undefined {
  return { none: undefined, pqc: POST_QUANTUM_GROUP, fips: APPROVED_GROUPS }[policy]
}

/**
 * TLS 1.3 with the workload's chain and key, for server and client; no session of it can be resumed past a change of
 * certificates. It trusts no root: OpenSSL proves that the peer holds the key of the certificate it presents, and whether that
 * certificate is any good is for `verifyClient` or `verifyServer` alone, which every user must call with `peerChainOf`. One
 * that forgets is safe with `rejectUnauthorized: true`, which then refuses everybody.
 *
 * Costs 0.4 ms: make it once for a certificate. Throws what OpenSSL says of a certificate or key that it cannot take, or where
 * it lacks the group that the policy asks for.
 */
export function secureContextFor(certificate: WorkloadCertificate, policy: CompliancePolicy = 'none'): SecureContext {
  const groups = groupsUnder(policy)
  if (groups !== undefined) return contextWith(certificate, groups)
  try {
    return contextWith(certificate, GROUPS)
  } catch {
    return contextWith(certificate, CLASSIC_GROUPS)
  }
}

function contextWith(certificate: WorkloadCertificate, ecdhCurve: string): SecureContext {
  return createSecureContext({
    key: certificate.privateKeyPem,
    cert: certificate.chainPem.join(''),
    // With the roots in here OpenSSL sends them along behind a leaf without intermediates, builds the chain that it presents
    // anew in each handshake, and verifies the peer's a second time: together a quarter of a handshake's CPU time.
    ca: [],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve,
    // OpenSSL still sends tickets in TLS 1.3, but ones that point into a session cache which Node keeps off.
    secureOptions: constants.SSL_OP_NO_TICKET,
  })
}

/**
 * The certificates that the peer presented, leaf first, in its order, junk included, for `verifyClient` and `verifyServer`;
 * empty when it presented none. To be asked once the handshake is done ('secure' or 'secureConnect').
 * (`issuerCertificate` of the peer's certificate is simply the next one presented, on both sides; OpenSSL's own chain,
 * with the root, is only in the older `getPeerCertificate(true)`, at four times the cost.)
 */
export function peerChainOf(socket: Pick<TLSSocket, 'getPeerX509Certificate'>): X509Certificate[] {
  const chain: X509Certificate[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && chain.length <= MAX_INTERMEDIATES) {
    chain.push(next)
    next = next.issuerCertificate
  }
  return chain
}
