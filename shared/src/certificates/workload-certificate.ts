import { createPrivateKey } from 'node:crypto'
import { SpiffeId } from '../identity/index.ts'
import type { Log } from '../log/index.ts'
import { CertificateError } from './certificate-error.ts'
import { parseCertificate, type ParsedCertificate } from './parsed-certificate.ts'
import { parsePemChain, parseX509, splitPem } from './pem.ts'

/** Most certificates in a chain and most roots in a bundle that a CA may answer with. */
const MAX_CHAIN_LENGTH = 8
const MAX_ROOTS = 256

/** A workload's certificate, its key, and the roots that its peers must chain to. Plain data apart from `identity`. */
export interface WorkloadCertificate {
  readonly identity: SpiffeId
  /** PKCS#8. */
  readonly privateKeyPem: string
  /** What the workload presents: the leaf first, then intermediates, never a root. One PEM each. */
  readonly chainPem: readonly string[]
  /** One PEM each; at least one. */
  readonly rootsPem: readonly string[]
  /** Lifetime of the leaf, in milliseconds since the Unix epoch. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Of the leaf, in decimal. */
  readonly serialNumber: string
}

/** A WorkloadCertificate as it passes between processes. Holds the private key: never to be logged. */
export type WireCertificate = Omit<WorkloadCertificate, 'identity'> & { readonly identity: string }

/** As it goes to another process of ours; `fromWire` is the inverse. */
export function toWire(certificate: WorkloadCertificate): WireCertificate {
  return { ...certificate, identity: certificate.identity.toString() }
}

/** The inverse of `toWire`; the sender is our own process and is believed. Throws IdentityError. */
export function fromWire(wire: WireCertificate): WorkloadCertificate {
  return { ...wire, identity: SpiffeId.parse(wire.identity) }
}

/**
 * Makes a workload certificate of a CA's answer. `identity` is who it must be for; undefined where the CA decides (dedicated
 * mode): then it is who the leaf says. `certChain` is IstioCertificateResponse.cert_chain: the leaf, each intermediate, and
 * last all roots in one text. Roots that cannot be read are skipped with a warning. Throws
 * CertificateError: 'empty-chain', 'no-root', 'malformed', 'identity-mismatch' when the leaf's first URI is not the identity
 * asked for, 'no-identity' when none was asked for and the leaf has none, 'key-mismatch' when the leaf is for another key.
 */
export function workloadCertificateFrom(
  identity: SpiffeId | undefined,
  privateKeyPem: string,
  certChain: readonly string[],
  log: Log,
): WorkloadCertificate {
  // The words of ztunnel, which people search their logs for.
  if (certChain.length === 0) throw new CertificateError('empty-chain', 'chain returned from CA is empty')
  if (certChain.length === 1)
    throw new CertificateError('no-root', 'no root certificate present in the chain returned from CA')
  const roots = readRoots(certChain.at(-1) ?? '', log)
  const chain = certChain.slice(0, -1).flatMap((pem) => parsePemChain(pem))
  const [first, ...intermediates] = chain
  if (first === undefined)
    throw new CertificateError('malformed', 'The first element of the chain returned from CA holds no certificate.')
  if (chain.length > MAX_CHAIN_LENGTH) {
    throw new CertificateError(
      'malformed',
      `The chain returned from CA has more than ${MAX_CHAIN_LENGTH} certificates.`,
    )
  }
  const leaf = parseCertificate(first)
  if (!first.checkPrivateKey(createPrivateKey(privateKeyPem))) {
    throw new CertificateError(
      'key-mismatch',
      'The certificate returned from CA is not for the key that it was asked for.',
    )
  }
  const presented = intermediates.filter((certificate) => !roots.includes(certificate.toString()))
  return {
    identity: identityOf(leaf, identity),
    privateKeyPem,
    chainPem: [first, ...presented].map(String),
    rootsPem: roots,
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: leaf.notAfterMs,
    serialNumber: BigInt(`0x${leaf.serial}`).toString(),
  }
}

function identityOf(leaf: ParsedCertificate, wanted: SpiffeId | undefined): SpiffeId {
  const [first] = leaf.uris
  if (wanted !== undefined) {
    if (first === wanted.toString()) return wanted
    throw new CertificateError('identity-mismatch', `did not find expected SAN: ${wanted.toString()}`)
  }
  if (first !== undefined) return SpiffeId.parse(first)
  throw new CertificateError('no-identity', 'The certificate returned from CA names no SPIFFE id.')
}

function readRoots(bundle: string, log: Log): string[] {
  const roots: string[] = []
  for (const pem of splitPem(bundle)) {
    try {
      const root = parseCertificate(parseX509(pem)).x509.toString()
      if (!roots.includes(root)) roots.push(root)
    } catch {
      log.warn('Skipped a root certificate of the bundle returned from CA: it cannot be read.')
    }
  }
  if (roots.length === 0)
    throw new CertificateError('no-root', 'no root certificate present in the chain returned from CA')
  if (roots.length > MAX_ROOTS) {
    throw new CertificateError('malformed', `The bundle returned from CA has more than ${MAX_ROOTS} root certificates.`)
  }
  return roots
}
