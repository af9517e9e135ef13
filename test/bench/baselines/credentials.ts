import { issueCredentials, newAuthority, type CredentialFiles } from '../../kit/credentials.ts'
import type { MeshFiles } from '../../kit/mesh-files.ts'

/** Certificates as ztunnels have them, for the baselines' mutual TLS: one root, one P-256 leaf for either end. */
export function writeCredentials(files: MeshFiles): CredentialFiles {
  return issueCredentials(files, 'bench', 'spiffe://cluster.local/ns/default/sa/bench', newAuthority('bench'))
}
