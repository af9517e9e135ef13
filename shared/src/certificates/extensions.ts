// The certificate extensions that we write (RFC 5280 section 4.2).
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { addressBytes, parseIp } from '../ip/index.ts'
import { CertificateError } from './certificate-error.ts'
import {
  bitFlags,
  boolean,
  objectIdentifier,
  octetString,
  readDer,
  sequence,
  sequenceOf,
  taggedBytes,
  toDer,
  unsignedInteger,
  wholeBitStringOf,
  type DerNode,
} from './der.ts'
import { OID, type TlsUsage } from './object-identifiers.ts'

/** GeneralName choices (RFC 5280 section 4.2.1.6). */
export const GENERAL_NAME = { dns: 2, uri: 6, ip: 7 } as const

export interface AlternativeNames {
  /** Written as they are. */
  readonly uris?: readonly string[]
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
}

export function extension(name: string, isCritical: boolean, value: DerNode): DerNode {
  const critical = isCritical ? [boolean(true)] : [] // DER leaves out what is the default
  return sequence(objectIdentifier(name), ...critical, octetString(toDer(value)))
}

export function subjectAltName(names: AlternativeNames, isCritical: boolean): DerNode {
  const general = [
    ...(names.uris ?? []).map((uri) => taggedBytes(GENERAL_NAME.uri, Buffer.from(uri, 'latin1'))),
    ...(names.dnsNames ?? []).map((name) => taggedBytes(GENERAL_NAME.dns, Buffer.from(name, 'latin1'))),
    ...(names.ipAddresses ?? []).map((address) => taggedBytes(GENERAL_NAME.ip, ipAddress(address))),
  ]
  return extension(OID.subjectAltName, isCritical, sequence(...general))
}

export function keyUsage(flags: number): DerNode {
  return extension(OID.keyUsage, true, bitFlags(flags))
}

export function extendedKeyUsage(usages: readonly TlsUsage[]): DerNode {
  return extension(OID.extendedKeyUsage, false, sequence(...usages.map((usage) => objectIdentifier(OID[usage]))))
}

/** `authority` undefined: not a CA. */
export function basicConstraints(authority: { readonly pathLength?: number | undefined } | undefined): DerNode {
  if (authority === undefined) return extension(OID.basicConstraints, true, sequence())
  const pathLength = authority.pathLength === undefined ? [] : [unsignedInteger(Buffer.of(authority.pathLength))]
  return extension(OID.basicConstraints, true, sequence(boolean(true), ...pathLength))
}

export function subjectKeyIdentifier(keyId: Buffer): DerNode {
  return extension(OID.subjectKeyIdentifier, false, octetString(keyId))
}

export function authorityKeyIdentifier(keyId: Buffer): DerNode {
  return extension(OID.authorityKeyIdentifier, false, sequence(taggedBytes(0, keyId)))
}

/** SHA-1 over the bare key: method 1 of RFC 5280 section 4.2.1.2, a name and not a protection. */
export function keyIdOf(publicKeyDer: Buffer): Buffer {
  const [, key] = sequenceOf(readDer(publicKeyDer), 'public key')
  return createHash('sha1').update(wholeBitStringOf(key, 'public key')).digest()
}

function ipAddress(address: string): Buffer {
  if (parseIp(address) !== undefined) return addressBytes(address)
  throw new CertificateError('malformed', `${JSON.stringify(address)} is no IP address.`)
}
