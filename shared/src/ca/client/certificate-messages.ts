// The two messages of the certificate service, written and read by hand. A schema library in every ztunnel would cost 10 MB
// of resident memory (measured with @grpc/proto-loader 0.8) for three fields; the CA server has one, and the tests let the
// two talk to each other.
import { Buffer } from 'node:buffer'
import { CaError } from '../ca-error.ts'

/** Most elements of a chain: the leaf, intermediates, the roots. */
const MAX_CHAIN_ELEMENTS = 16

/** istio.v1.auth.IstioCertificateRequest. */
export interface CertificateRequestMessage {
  /** PEM. */
  readonly csr: string
  readonly validityDurationS: number
  /** metadata.ImpersonatedIdentity; left out in dedicated mode. */
  readonly impersonatedIdentity?: string | undefined
}

const WIRE = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const

export function encodeRequest(request: CertificateRequestMessage): Buffer {
  const { csr, validityDurationS, impersonatedIdentity } = request
  const fields = [text(1, csr), integer(3, validityDurationS)]
  if (impersonatedIdentity !== undefined) {
    // google.protobuf.Struct: field 1 is a map, whose entries are messages of key 1 and Value 2; a Value's text is field 3.
    const entry = Buffer.concat([text(1, 'ImpersonatedIdentity'), bytes(2, text(3, impersonatedIdentity))])
    fields.push(bytes(4, bytes(1, entry)))
  }
  return Buffer.concat(fields)
}

/** The cert_chain of an IstioCertificateResponse; unknown fields are skipped. Throws CaError 'bad-answer'. */
export function decodeResponse(message: Buffer): string[] {
  const chain: string[] = []
  let offset = 0
  while (offset < message.length) {
    const tag = readVarint(message, offset)
    offset = tag.end
    switch (tag.value % 8) {
      case WIRE.varint:
        offset = readVarint(message, offset).end
        break
      case WIRE.fixed64:
        offset += 8
        break
      case WIRE.fixed32:
        offset += 4
        break
      case WIRE.lengthDelimited: {
        const length = readVarint(message, offset)
        offset = length.end + length.value
        if (Math.floor(tag.value / 8) === 1 && offset <= message.length) {
          chain.push(message.toString('utf8', length.end, offset))
        }
        break
      }
      default:
        throw badAnswer('it has a field of an unknown kind')
    }
  }
  if (offset > message.length) throw badAnswer('it ends within a field')
  if (chain.length > MAX_CHAIN_ELEMENTS) throw badAnswer(`its chain has more than ${MAX_CHAIN_ELEMENTS} elements`)
  return chain
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value, 'utf8'))
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + WIRE.lengthDelimited), varint(value.length), value])
}

function integer(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8 + WIRE.varint), varint(value)])
}

/** A whole number from 0 to 2^53-1; division, because shifts end at 32 bits. */
function varint(value: number): Buffer {
  const octets: number[] = []
  let rest = value
  while (rest >= 128) {
    octets.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  octets.push(rest)
  return Buffer.from(octets)
}

function readVarint(message: Buffer, start: number): { readonly value: number; readonly end: number } {
  let value = 0
  // At most ten octets; what lies above 2^53 is imprecise, and as a length far beyond the end of any message.
  for (let index = 0; index < 10; index++) {
    const octet = message[start + index]
    if (octet === undefined) throw badAnswer('it ends within a number')
    value += (octet % 128) * 128 ** index
    if (octet < 128) return { value, end: start + index + 1 }
  }
  throw badAnswer('it has a number that is too long')
}

function badAnswer(what: string): CaError {
  return new CaError('bad-answer', `The CA's answer is not an IstioCertificateResponse: ${what}.`, {
    source: 'upstream',
    retryable: true,
  })
}
