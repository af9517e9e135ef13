import { readFileSync } from 'node:fs'
import { generateKeyPair, issueAuthority, issueCertificate, readSigner, type Signer } from '@ambit/shared/certificates'
import { SpiffeId } from '@ambit/shared/identity'
import type { MeshFiles } from './mesh-files.ts'

/** Paths of PEM files, as peers that are not ours want them. */
export interface CredentialFiles {
  /** The certificate of the authority that signed `chain`. */
  readonly root: string
  readonly chain: string
  readonly key: string
}

const HOUR_MS = 3_600_000

/** The CA of a mesh, from the files that it keeps; it has been started. */
export function authorityOf(files: MeshFiles): Signer {
  const [certificate = '', key = ''] = ['ca-cert.pem', 'ca-key.pem'].map((file) =>
    readFileSync(files.path('ca', 'root', file), 'utf8'),
  )
  return readSigner(certificate, key)
}

/** An authority that no mesh trusts. */
export function newAuthority(organization: string): Signer {
  const key = generateKeyPair()
  const pem = issueAuthority({ key, organization, nowMs: Date.now(), ttlMs: HOUR_MS })
  return readSigner(pem, key.privateKeyPem)
}

/** A P-256 key and a certificate for `identity` under `signer`; the files are called after `name`. */
export function issueCredentials(files: MeshFiles, name: string, identity: string, signer: Signer): CredentialFiles {
  const key = generateKeyPair()
  const leaf = { signer, publicKeyDer: key.publicKeyDer, identity: SpiffeId.parse(identity) }
  return {
    root: files.write(`${name}-root.pem`, signer.certificate.x509.toString()),
    chain: files.write(`${name}.pem`, issueCertificate({ ...leaf, nowMs: Date.now(), ttlMs: HOUR_MS })),
    key: files.write(`${name}.key`, key.privateKeyPem),
  }
}
