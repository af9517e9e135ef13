import { MeshError } from '../errors/index.ts'

/**
 * | code | meaning |
 * |---|---|
 * | forgotten | the last workload of the identity left while someone waited |
 * | overloaded | too many identities, or too many waiters for one |
 * | closed | the proxy is stopping */
export type CertificateUnavailableCode = 'forgotten' | 'overloaded' | 'closed'

/** Why the manager itself gives no certificate; a failed fetch is answered with the fetcher's own error instead. */
export class CertificateUnavailableError extends MeshError<CertificateUnavailableCode> {
  constructor(code: CertificateUnavailableCode, message: string) {
    super(code, message, { source: 'internal', retryable: code === 'overloaded' })
  }
}
