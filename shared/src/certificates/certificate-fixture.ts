// Certificates for the tests of this room: honest ones by the room's own functions, odd ones field by field.
import { Buffer } from 'node:buffer'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { SpiffeId } from '../identity/index.ts'
import { silentLog } from '../log/index.ts'
import { readDer, sequence, tagged, time, unsignedInteger, type DerNode } from './der.ts'
import { basicConstraints, extendedKeyUsage, keyUsage, subjectAltName } from './extensions.ts'
import { issueAuthority, issueCertificate, readSigner, type LeafOptions, type Signer } from './issue-certificate.ts'
import { generateKeyPair, readKeyPair, type KeyPair } from './key-pair.ts'
import { KEY_USAGE } from './object-identifiers.ts'
import { parseCertificate } from './parsed-certificate.ts'
import { parseX509, writePem } from './pem.ts'
import { signatureIdentifier, signed } from './signature-algorithm.ts'
import { workloadCertificateFrom, type WorkloadCertificate } from './workload-certificate.ts'
import { distinguishedName, writeCertificate, type CertificateFields } from './write-certificate.ts'

/** What the tests call now. */
export const NOW = Date.UTC(2026, 0, 1)
export const DAY = 86_400_000

export const CLIENT = SpiffeId.of('cluster.local', 'shop', 'client')
export const SERVER = SpiffeId.of('cluster.local', 'shop', 'server')

export interface Authority {
  readonly pem: string
  readonly key: KeyPair
  readonly subject: DerNode
  readonly signer: Signer
  /** What is presented beside a leaf of this authority, nearest first; nothing for a root. */
  readonly chain: readonly string[]
  readonly rootPem: string
}

interface AuthorityChoices {
  readonly under?: Authority
  readonly key?: KeyPair
  readonly pathLength?: number | undefined
  readonly ttlMs?: number
  readonly nowMs?: number
}

export function authority(commonName: string, choices: AuthorityChoices = {}): Authority {
  const { under, key = generateKeyPair(), pathLength, ttlMs = 365 * DAY, nowMs = NOW } = choices
  const pem = issueAuthority({ signer: under?.signer, key, organization: 'test', commonName, pathLength, nowMs, ttlMs })
  const signer = readSigner(pem, key.privateKeyPem)
  const subject = readDer(Buffer.from(signer.certificate.subject, 'latin1'))
  return { pem, key, subject, signer, chain: under ? [pem, ...under.chain] : [], rootPem: under?.rootPem ?? pem }
}

/** An authority with extensions of the test's own, under another or by itself. Not checked to be one. */
export function oddAuthority(commonName: string, extensions: readonly DerNode[], under?: Authority): Authority {
  const key = generateKeyPair()
  const subject = distinguishedName({ organization: 'test', commonName })
  const issuer = under?.subject ?? subject
  const signingKey = under?.key.privateKey ?? key.privateKey
  const pem = writeCertificate({ ...plainFields(key, signingKey), issuer, subject, extensions })
  return {
    pem,
    key,
    subject,
    // Only when asked for: the test may have made it so that it cannot be read.
    get signer(): Signer {
      return { certificate: parseCertificate(parseX509(pem)), privateKey: key.privateKey }
    },
    chain: under ? [pem, ...under.chain] : [],
    rootPem: under?.rootPem ?? pem,
  }
}

export const CA_EXTENSIONS: readonly DerNode[] = [keyUsage(KEY_USAGE.keyCertSign), basicConstraints({})]

/** A workload certificate of `ca`, as its holder has it. */
export function workload(ca: Authority, identity: SpiffeId, choices: Partial<LeafOptions> = {}): WorkloadCertificate {
  const key = generateKeyPair()
  const leaf = { signer: ca.signer, publicKeyDer: key.publicKeyDer, identity, nowMs: NOW, ttlMs: DAY, ...choices }
  return workloadCertificateFrom(
    identity,
    key.privateKeyPem,
    [issueCertificate(leaf), ...ca.chain, ca.rootPem],
    silentLog,
  )
}

/** A leaf of `ca` with extensions of the test's own, as PEM. */
export function oddLeaf(
  ca: Authority,
  extensions: readonly DerNode[],
  fields: Partial<CertificateFields> = {},
): string {
  const key = generateKeyPair()
  const plain = { ...plainFields(key, ca.key.privateKey), issuer: ca.subject, subject: sequence() }
  return writeCertificate({ ...plain, extensions, ...fields })
}

/** The extensions of an honest leaf with these URIs, to be left out or replaced one by one. */
export function leafExtensions(uris: readonly string[] = [CLIENT.toString()]): {
  usage: DerNode
  extendedUsage: DerNode
  constraints: DerNode
  names: DerNode
} {
  return {
    usage: keyUsage(KEY_USAGE.digitalSignature),
    extendedUsage: extendedKeyUsage(['serverAuth', 'clientAuth']),
    constraints: basicConstraints(undefined),
    names: subjectAltName({ uris }, true),
  }
}

interface CrlChoices {
  readonly extensions?: readonly DerNode[]
  readonly entryExtensions?: readonly DerNode[]
  readonly nextUpdateMs?: number
  /** Who signs, where it is not the authority that is named as the issuer. */
  readonly signingKey?: KeyObject
  readonly isVersion1?: boolean
}

/** A revocation list of `ca` for these certificates (PEM), in DER. */
export function revocationList(ca: Authority, revoked: readonly string[], choices: CrlChoices = {}): Buffer {
  const { extensions, entryExtensions, nextUpdateMs, signingKey = ca.key.privateKey, isVersion1 = false } = choices
  const entries = revoked.map((pem) => {
    const serial = unsignedInteger(Buffer.from(parseX509(pem).serialNumber, 'hex'))
    return sequence(serial, time(NOW), ...(entryExtensions ? [sequence(...entryExtensions)] : []))
  })
  const body = sequence(
    ...(isVersion1 ? [] : [unsignedInteger(Buffer.of(1))]),
    signatureIdentifier(signingKey),
    ca.subject,
    time(NOW),
    ...(nextUpdateMs === undefined ? [] : [time(nextUpdateMs)]),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    ...(extensions ? [tagged(0, sequence(...extensions))] : []),
  )
  return signed(body, signingKey)
}

export function crlPem(der: Buffer): string {
  return writePem('X509 CRL', der)
}

/** Key pairs of other kinds than ours. */
export const otherKeys = {
  p384: () => readKeyPair(generateKeyPairSync('ec', { namedCurve: 'P-384', ...PEM_KEYS }).privateKey),
  p521: () => readKeyPair(generateKeyPairSync('ec', { namedCurve: 'P-521', ...PEM_KEYS }).privateKey),
  secp256k1: () => readKeyPair(generateKeyPairSync('ec', { namedCurve: 'secp256k1', ...PEM_KEYS }).privateKey),
  ed25519: () => readKeyPair(generateKeyPairSync('ed25519', PEM_KEYS).privateKey),
  x25519: () => readKeyPair(generateKeyPairSync('x25519', PEM_KEYS).privateKey),
  rsa: (bits: number) => readKeyPair(generateKeyPairSync('rsa', { modulusLength: bits, ...PEM_KEYS }).privateKey),
}

const PEM_KEYS = {
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
} as const

function plainFields(
  key: KeyPair,
  signingKey: KeyObject,
): Omit<CertificateFields, 'issuer' | 'subject' | 'extensions'> {
  return { notBeforeMs: NOW - DAY, notAfterMs: NOW + DAY, publicKeyDer: key.publicKeyDer, signingKey }
}
