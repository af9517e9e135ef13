import type { SpiffeId } from '../identity/index.ts'
import type { WorkloadCertificate } from './workload-certificate.ts'

/** Where certificates come from: a CA, or a test. */
export interface CertificateFetcher {
  /** A new certificate with a new key. Rejects with the error of the CA or of what it answered, or when `signal` aborts. */
  fetch(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate>
}
