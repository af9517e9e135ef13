import { MeshError, type ErrorSource } from '../errors/index.ts'

/**
 * | code | meaning |
 * |---|---|
 * | malformed | PEM or DER that is not what it says |
 * | bad-request | a signing request that must not be signed: signature, key type or size |
 * | bad-signer | a CA certificate and key that cannot sign: mismatch, no CA bit |
 * | signer-expired | the CA certificate's own time is over |
 * | bad-lifetime | a lifetime that is not positive |
 * | empty-chain, no-root | the CA answered with too few certificates |
 * | identity-mismatch, key-mismatch | the CA answered with a certificate for another identity or key |
 * | no-certificate | the peer presented none |
 * | no-identity | the peer's certificate holds no SPIFFE id, or several URIs |
 * | untrusted | no chain from the peer's certificate to a root of ours |
 * | expired, not-yet-valid | time is over, or has not come, for a certificate of the chain |
 * | wrong-usage | key usage, extended key usage, CA bit or path length forbid what the certificate is used for |
 * | revoked | a CRL of its issuer lists a certificate of the chain |
 * | wrong-trust-domain | the client is of another trust domain than ours |
 * | wrong-identity | the server is not who we called |
 * | bad-crl | a revocation list that cannot be used, so that of certificates of its CA it is not known whether they are revoked */
export type CertificateErrorCode =
  | 'malformed'
  | 'bad-request'
  | 'bad-signer'
  | 'signer-expired'
  | 'bad-lifetime'
  | 'empty-chain'
  | 'no-root'
  | 'identity-mismatch'
  | 'key-mismatch'
  | 'no-certificate'
  | 'no-identity'
  | 'untrusted'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-usage'
  | 'revoked'
  | 'wrong-trust-domain'
  | 'wrong-identity'
  | 'bad-crl'

/** Whatever is wrong with a certificate, a signing request, a CA's answer, or a peer. */
export class CertificateError extends MeshError<CertificateErrorCode> {
  constructor(code: CertificateErrorCode, message: string, options: { source?: ErrorSource; cause?: unknown } = {}) {
    super(code, message, { source: options.source ?? 'config', cause: options.cause })
  }
}
