import { generateKeyPair, issueAuthority, issueCertificate, readSigner } from '@ambit/shared/certificates'
import { SpiffeId } from '@ambit/shared/identity'
import type { MeshFiles } from '../../kit/mesh-files.ts'

export interface CredentialFiles {
  readonly root: string
  readonly chain: string
  readonly key: string
}

const HOUR_MS = 3_600_000

/** Certificates as ztunnels have them, for the baselines' mutual TLS: one root, one P-256 leaf for either end. */
export function writeCredentials(files: MeshFiles): CredentialFiles {
  const nowMs = Date.now()
  const rootKey = generateKeyPair()
  const root = issueAuthority({ key: rootKey, organization: 'bench', commonName: 'root', nowMs, ttlMs: HOUR_MS })
  const key = generateKeyPair()
  const leaf = issueCertificate({
    signer: readSigner(root, rootKey.privateKeyPem),
    publicKeyDer: key.publicKeyDer,
    identity: SpiffeId.of('cluster.local', 'default', 'bench'),
    nowMs,
    ttlMs: HOUR_MS,
  })
  return {
    root: files.write('bench-root.pem', root),
    chain: files.write('bench-chain.pem', leaf),
    key: files.write('bench-key.pem', key.privateKeyPem),
  }
}
