/** Characters of a single field or message that a line shows; the rest is cut and marked. */
export const MAX_FIELD_CHARACTERS = 1024
const CUT = '...(cut)'

/** What needs no care in quotes: printable ASCII without `"` and `\`. */
const HARMLESS = /^[ !#-[\]-~]*$/
/** What an address, host name or number is made of. */
const BARE = /^[\w.:[\]%/-]+$/
/** Printable ASCII: no control character, no line break, nothing a terminal would obey, nothing that changes direction. */
const UNPRINTABLE = /[^ -~]/u

/**
 * Text in double quotes for a plain line. Everything but printable ASCII is escaped, so a peer's text can neither end the
 * line nor steer a terminal, and one character is one byte.
 */
export function quoted(text: string, limit: number): string {
  if (text.length <= limit && HARMLESS.test(text)) return `"${text}"`
  return `"${escaped(text, limit, plainEscape)}"`
}

/** Text without quotes where it can be nothing but an address, a name or a number; otherwise in quotes. */
export function bare(text: string, limit: number): string {
  return text.length <= limit && BARE.test(text) ? text : quoted(text, limit)
}

/** A plain line's message: spaces and quotes are fine, line breaks and control characters are escaped. */
export function message(text: string, limit: number): string {
  return text.length <= limit && !UNPRINTABLE.test(text) ? text : escaped(text, limit, messageEscape)
}

/** Text as a JSON string of pure ASCII. */
export function jsonString(text: string, limit: number): string {
  if (text.length <= limit && HARMLESS.test(text)) return `"${text}"`
  return `"${escaped(text, limit, jsonEscape)}"`
}

/** Escapes code point by code point until `limit` characters of output; a cut never splits an escape. */
function escaped(text: string, limit: number, escape: (character: string, code: number) => string): string {
  let out = ''
  for (const character of text) {
    const next = escape(character, character.codePointAt(0) ?? 0)
    if (out.length + next.length > limit) return `${out}${CUT}`
    out += next
  }
  return out
}

function plainEscape(character: string, code: number): string {
  if (character === '"' || character === '\\') return `\\${character}`
  return messageEscape(character, code)
}

function messageEscape(character: string, code: number): string {
  if (code >= 0x20 && code < 0x7f) return character
  switch (character) {
    case '\n':
      return '\\n'
    case '\r':
      return '\\r'
    case '\t':
      return '\\t'
    default:
      return `\\u{${code.toString(16)}}`
  }
}

function jsonEscape(character: string, code: number): string {
  if (character === '"' || character === '\\') return `\\${character}`
  if (code >= 0x20 && code < 0x7f) return character
  let out = ''
  for (let i = 0; i < character.length; i++) out += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
  return out
}
