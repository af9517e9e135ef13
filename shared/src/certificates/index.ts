export { CertificateError, type CertificateErrorCode } from './certificate-error.ts'
export type { Priority } from './certificate-entry.ts'
export type { CertificateFetcher } from './certificate-fetcher.ts'
export { CertificateManager, type CertificateManagerOptions, type CertificateState } from './certificate-manager.ts'
export { createCsr, readCsr, type CertificateRequest } from './certificate-request.ts'
export { CertificateUnavailableError, type CertificateUnavailableCode } from './certificate-unavailable.ts'
export { CrlSet } from './crl-set.ts'
export { standingOf, succeed, type Standing, type Succession } from './crl-succession.ts'
export {
  issueAuthority,
  issueCertificate,
  readSigner,
  type AuthorityOptions,
  type LeafOptions,
  type Lifetime,
  type Signer,
} from './issue-certificate.ts'
export { generateKeyPair, readKeyPair, type KeyPair } from './key-pair.ts'
export type { TlsUsage } from './object-identifiers.ts'
export { parseCertificate, type ParsedCertificate } from './parsed-certificate.ts'
export { parsePemChain, parseX509, splitPem } from './pem.ts'
export { peerChainOf, groupsUnder, secureContextFor, type CompliancePolicy } from './tls-options.ts'
export { verifyClient, verifyServer } from './verify-peer.ts'
export {
  fromWire,
  toWire,
  workloadCertificateFrom,
  type WireCertificate,
  type WorkloadCertificate,
} from './workload-certificate.ts'
