export { CertificateError, type CertificateErrorCode } from './certificate-error.ts'
export type { CertificateFetcher } from './certificate-fetcher.ts'
export { createCsr, readCsr, type CertificateRequest } from './certificate-request.ts'
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
export { parseCertificate, parsePeerSans, type ParsedCertificate } from './parsed-certificate.ts'
export { parsePemChain, parseX509, splitPem } from './pem.ts'
export {
  fromWire,
  toWire,
  workloadCertificateFrom,
  type WireCertificate,
  type WorkloadCertificate,
} from './workload-certificate.ts'
