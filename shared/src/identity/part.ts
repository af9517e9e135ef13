import { IdentityError } from './identity-error.ts'

/** Longest SPIFFE id in characters (SPIFFE-ID section 2.3: 2048 bytes). */
export const MAX_ID_LENGTH = 2048

/** Longest namespace or service account in characters: no name in Kubernetes is longer (RFC 1123 subdomain). */
const MAX_PART_LENGTH = 253

/** Longest text shown in an error message, in characters. */
const MAX_SHOWN_LENGTH = 100

/**
 * The characters that a trust domain, namespace or service account may have: those that a URI never has to escape
 * (RFC 3986 section 2.3), and ':' for trust domains scoped by a domain ("example.com:project.svc.id.goog"). Anything else
 * (NUL, comma, quotes, space, '%', '*', non-ASCII) has a meaning somewhere between a certificate and a log line, and is
 * how one name has been made to read as another (CVE-2021-44532, CVE-2026-47778).
 */
const PART = /^[A-Za-z0-9._~:-]*$/u

/** True when `text` may stand between two slashes of an identity. Empty text may: see SpiffeId.parse. */
export function isPart(text: string): boolean {
  return PART.test(text)
}

/**
 * Parses a configured namespace or service account: with any trust domain two such texts make an identity. Stricter than
 * SpiffeId.parse: never empty. Throws IdentityError.
 */
export function parseIdentityPart(text: string): string {
  if (text.length > 0 && text.length <= MAX_PART_LENGTH && isPart(text)) return text
  throw new IdentityError(
    'bad-identity-part',
    `${shown(text)} cannot stand in an identity: use 1 to ${MAX_PART_LENGTH} letters, digits and . - _ ~ :`,
  )
}

/** Text from a stranger made fit for an error message: escaped and cut. */
export function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}...` : text)
}
