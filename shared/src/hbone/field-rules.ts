import type { HeaderField } from './hpack/index.ts'

/** Field lines of one message beyond this are refused, so that no answer can be made to hold thousands of strings. */
export const MAX_HEADER_FIELDS = 128

/** RFC 9110 §5.6.2 tokens without upper case: what a field name may be in HTTP/2 (RFC 9113 §8.2.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** RFC 9110 §5.5: visible characters and obs-text; blanks and tabs inside only. */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/

/**
 * Fields that speak of one HTTP/1 connection; their presence makes a message malformed (RFC 9113 §8.2.2). Compared one by one:
 * V8 has to look a name that was just received up in its table of all strings before a Set can answer, 0.3 µs each.
 */
function isConnectionField(name: string): boolean {
  return (
    name === 'connection' ||
    name === 'keep-alive' ||
    name === 'proxy-connection' ||
    name === 'transfer-encoding' ||
    name === 'upgrade'
  )
}

export function isFieldName(name: string): boolean {
  return NAME.test(name)
}

export function isFieldValue(value: string): boolean {
  return VALUE.test(value)
}

/** Why this field must not be in an HTTP/2 message; undefined where it may. Pseudo-header fields are not its business. */
export function faultOfField([name, value]: HeaderField): string | undefined {
  if (!isFieldName(name)) return `field name ${show(name)} is not allowed`
  if (!isFieldValue(value)) return `the value of ${show(name)} is not allowed`
  if (isConnectionField(name)) return `${name} does not belong in HTTP/2`
  if (name === 'te' && value !== 'trailers') return 'te may only say trailers'
  return undefined
}

/** Text of a peer for an error message: escaped and cut. */
export function show(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}
