import { Buffer } from 'node:buffer'
import { randomBytes, type KeyObject } from 'node:crypto'
import {
  objectIdentifier,
  readDer,
  sequence,
  set,
  tagged,
  time,
  unsignedInteger,
  utf8String,
  type DerNode,
} from './der.ts'
import { OID } from './object-identifiers.ts'
import { writePem } from './pem.ts'
import { signatureIdentifier, signed } from './signature-algorithm.ts'

const SERIAL_BYTES = 16
const VERSION_3 = Buffer.of(2)

export interface CertificateFields {
  readonly issuer: DerNode
  readonly subject: DerNode
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Buffer
  /** In the order in which they are to stand. */
  readonly extensions: readonly DerNode[]
  /** Whose signature it bears; the fields are not checked against it. */
  readonly signingKey: KeyObject
}

/** An X.509 version 3 certificate of exactly these fields and a random serial number of 128 bits, as PEM. */
export function writeCertificate(fields: CertificateFields): string {
  const body = sequence(
    tagged(0, unsignedInteger(VERSION_3)),
    unsignedInteger(randomBytes(SERIAL_BYTES)),
    signatureIdentifier(fields.signingKey),
    fields.issuer,
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    fields.subject,
    readDer(fields.publicKeyDer),
    tagged(3, sequence(...fields.extensions)),
  )
  return writePem('CERTIFICATE', signed(body, fields.signingKey))
}

/** A name of an organization, a common name, both, or none: the empty name. */
export function distinguishedName(parts: {
  readonly organization?: string | undefined
  readonly commonName?: string | undefined
}): DerNode {
  const attributes = [
    ...(parts.organization === undefined ? [] : [attribute(OID.organization, parts.organization)]),
    ...(parts.commonName === undefined ? [] : [attribute(OID.commonName, parts.commonName)]),
  ]
  return sequence(...attributes)
}

function attribute(name: string, value: string): DerNode {
  return set(sequence(objectIdentifier(name), utf8String(value)))
}
