import { faultOfField, isFieldValue, show } from './field-rules.ts'
import { HboneError } from './hbone-error.ts'
import { encodeHeaders, type HeaderField } from './hpack/index.ts'

/**
 * The header block of a CONNECT (RFC 9113 §8.5: no :scheme, no :path; HBONE: no :protocol).
 * Throws HboneError `h2` where a text cannot be said in HTTP/2; nothing was sent then.
 */
export function connectRequestBlock(authority: string, headers: readonly HeaderField[]): Buffer {
  if (authority === '' || !isFieldValue(authority)) throw unspeakable(`the authority ${show(authority)} is not allowed`)
  return encodeHeaders([[':method', 'CONNECT'], [':authority', authority], ...checked(headers)])
}

/** The header block of an answer. `status` has three digits. Throws HboneError `h2` like connectRequestBlock. */
export function responseBlock(status: number, headers: readonly HeaderField[]): Buffer {
  return encodeHeaders([[':status', String(status)], ...checked(headers)])
}

/** Header values may come from labels of a workload: none of them may become another header or end the message. */
function checked(headers: readonly HeaderField[]): readonly HeaderField[] {
  for (const field of headers) {
    const fault = faultOfField(field)
    if (fault) throw unspeakable(fault)
  }
  return headers
}

function unspeakable(reason: string): HboneError {
  return new HboneError('h2', `a header list of ours cannot be sent: ${reason}`, { source: 'internal' })
}
