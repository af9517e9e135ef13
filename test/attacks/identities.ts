import {
  generateKeyPair,
  issueAuthority,
  issueCertificate,
  readSigner,
  workloadCertificateFrom,
  type WorkloadCertificate,
} from '@ambit/shared/certificates'
import { SpiffeId } from '@ambit/shared/identity'
import { silentLog } from '@ambit/shared/log'

const HOUR_MS = 3_600_000

/** A mesh's root and the certificates of a server and a client under it, valid on the real clock. */
export interface Identities {
  readonly server: WorkloadCertificate
  readonly client: WorkloadCertificate
}

function makeIdentities(): Identities {
  const nowMs = Date.now()
  const key = generateKeyPair()
  const root = issueAuthority({ key, organization: 'test', commonName: 'root', nowMs, ttlMs: HOUR_MS })
  const signer = readSigner(root, key.privateKeyPem)
  const workload = (serviceAccount: string): WorkloadCertificate => {
    const identity = SpiffeId.of('cluster.local', 'default', serviceAccount)
    const own = generateKeyPair()
    const leaf = issueCertificate({ signer, publicKeyDer: own.publicKeyDer, identity, nowMs, ttlMs: HOUR_MS })
    return workloadCertificateFrom(identity, own.privateKeyPem, [leaf, root], silentLog)
  }
  return { server: workload('server'), client: workload('client') }
}

/** One mesh per process: keys take a while. */
export const identities = makeIdentities()
