// Reading and writing DER on node-forge's ASN.1 layer; bytes of strangers enter only through readDer.
import { Buffer } from 'node:buffer'
import { createRequire } from 'node:module'
import type forge from 'node-forge'
import { CertificateError } from './certificate-error.ts'

// All of these exist; the library's published types leave them out.
declare module 'node-forge' {
  namespace asn1 {
    interface ReadOptions {
      readonly strict: boolean
      readonly parseAllBytes: boolean
      readonly decodeBitStrings: boolean
    }
    function fromDer(bytes: Bytes, options: ReadOptions): Asn1
    /** With a context tag, which is any number, in the place of a universal one. */
    function create(tagClass: Class, tag: number, constructed: boolean, value: Bytes | Asn1[]): Asn1
  }
}

const require = createRequire(import.meta.url)
// The ASN.1 layer alone: the whole of node-forge costs each process 8 MB more and 90 ms at start. Its type is that of the whole.
const asn1 = require('node-forge/lib/asn1') as typeof forge.asn1
const { Type, Class } = asn1

export type DerNode = forge.asn1.Asn1

// --- writing ---

export function sequence(...children: DerNode[]): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, children)
}

export function set(...children: DerNode[]): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, children)
}

export function objectIdentifier(name: string): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(name).getBytes())
}

export function octetString(bytes: Buffer): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, bytes.toString('latin1'))
}

export function utf8String(text: string): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.UTF8, false, Buffer.from(text, 'utf8').toString('latin1'))
}

export function boolean(value: boolean): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, value ? '\u00ff' : '\0')
}

export function nullValue(): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.NULL, false, '')
}

/** A non-negative integer from its big-endian bytes, in the shortest form. */
export function unsignedInteger(bytes: Buffer): DerNode {
  const firstUsed = bytes.findIndex((byte) => byte !== 0)
  const used = firstUsed < 0 ? Buffer.of(0) : bytes.subarray(firstUsed)
  const isNegative = ((used[0] ?? 0) & 0x80) !== 0
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, `${isNegative ? '\0' : ''}${used.toString('latin1')}`)
}

export function bitString(bytes: Buffer): DerNode {
  return asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, `\0${bytes.toString('latin1')}`)
}

/** A named-bit list of one octet; DER drops the zero bits at its end. */
export function bitFlags(octet: number): DerNode {
  let unusedBits = 0
  while (unusedBits < 7 && ((octet >> unusedBits) & 1) === 0) unusedBits++
  return asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, String.fromCharCode(unusedBits, octet))
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5); whole seconds. */
export function time(ms: number): DerNode {
  const date = new Date(ms)
  return date.getUTCFullYear() < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date))
}

/** `[tag]` over child nodes. */
export function tagged(tag: number, ...children: DerNode[]): DerNode {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, true, children)
}

/** `[tag] IMPLICIT` over plain bytes. */
export function taggedBytes(tag: number, bytes: Buffer): DerNode {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, false, bytes.toString('latin1'))
}

export function toDer(node: DerNode): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1')
}

// --- reading: each throws CertificateError 'malformed' when the node is not what is asked for ---

export function readDer(bytes: Buffer): DerNode {
  try {
    // Without decodeBitStrings: false an ECDSA signature, itself DER inside a bit string, would be taken apart and lost.
    return asn1.fromDer(bytes.toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false })
  } catch (cause) {
    throw new CertificateError('malformed', 'This is not DER.', { cause })
  }
}

export function childrenOf(node: DerNode | undefined, what: string): DerNode[] {
  if (node === undefined || !Array.isArray(node.value))
    throw new CertificateError('malformed', `No ${what} where one is due.`)
  return node.value
}

export function sequenceOf(node: DerNode | undefined, what: string): DerNode[] {
  if (!isUniversal(node, Type.SEQUENCE)) throw new CertificateError('malformed', `No ${what} where one is due.`)
  return childrenOf(node, what)
}

export function bytesOf(node: DerNode | undefined, what: string): Buffer {
  if (node === undefined || typeof node.value !== 'string') {
    throw new CertificateError('malformed', `No ${what} where one is due.`)
  }
  return Buffer.from(node.value, 'latin1')
}

/** With dots; where a number of it is above 2^53, as of one made of a UUID (X.667), `0x` and its octets in hex. */
export function objectIdentifierOf(node: DerNode | undefined): string {
  if (!isUniversal(node, Type.OID) || typeof node.value !== 'string' || node.value === '') {
    throw new CertificateError('malformed', 'No object identifier where one is due.')
  }
  try {
    return asn1.derToOid(node.value)
  } catch {
    return `0x${Buffer.from(node.value, 'latin1').toString('hex')}`
  }
}

/** The bytes of a bit string that has no unused bits at its end: a key or a signature. */
export function wholeBitStringOf(node: DerNode | undefined, what: string): Buffer {
  const bytes = bytesOf(isUniversal(node, Type.BITSTRING) ? node : undefined, what)
  if (bytes[0] !== 0) throw new CertificateError('malformed', `The ${what} does not end on a whole octet.`)
  return bytes.subarray(1)
}

/** The first octet of a named-bit list; 0 when it is empty. */
export function bitFlagsOf(node: DerNode | undefined, what: string): number {
  return bytesOf(isUniversal(node, Type.BITSTRING) ? node : undefined, what)[1] ?? 0
}

export function octetsOf(node: DerNode | undefined, what: string): Buffer {
  return bytesOf(isUniversal(node, Type.OCTETSTRING) ? node : undefined, what)
}

export function isUniversal(node: DerNode | undefined, type: forge.asn1.Type): node is DerNode {
  return node !== undefined && node.tagClass === Class.UNIVERSAL && node.type === type
}

/** True for a BOOLEAN that says so; false for one that does not and for anything else, as an absent default. */
export function isTrue(node: DerNode | undefined): boolean {
  return isUniversal(node, Type.BOOLEAN) && bytesOf(node, 'boolean')[0] !== 0
}

/** True for `[tag]`, whether it holds nodes or bytes. */
export function isTagged(node: DerNode | undefined, tag: number): node is DerNode {
  const type: number | undefined = node?.type
  return node !== undefined && node.tagClass === Class.CONTEXT_SPECIFIC && type === tag
}

export const UNIVERSAL = Type
