import type { Buffer } from 'node:buffer'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'

/** A key of a workload or a CA. Holds the private key: never to be logged. */
export interface KeyPair {
  readonly privateKey: KeyObject
  /** PKCS#8. */
  readonly privateKeyPem: string
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Buffer
}

/** A new ECDSA P-256 key pair: what every workload and every self-made CA has. About 30 µs, hence synchronous. */
export function generateKeyPair(): KeyPair {
  return keyPairOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
}

/** The key pair of a private key in PEM (PKCS#8, or the older EC and RSA forms). Throws CertificateError 'malformed'. */
export function readKeyPair(pem: string): KeyPair {
  try {
    return keyPairOf(createPrivateKey(pem))
  } catch {
    // Without its cause: nothing that could quote a key goes anywhere near a log.
    throw new CertificateError('malformed', 'This is not a private key in PEM, or it is encrypted.')
  }
}

function keyPairOf(privateKey: KeyObject): KeyPair {
  return {
    privateKey,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    publicKeyDer: createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
  }
}
