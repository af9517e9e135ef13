import { Buffer } from 'node:buffer'
import { X509Certificate } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'

/** Longest PEM text that is read, in characters: a bundle of some 500 roots. CRLs have their own limit. */
export const MAX_PEM_LENGTH = 1024 * 1024

const BEGIN = '-----BEGIN '
const DASHES = '-----'

export interface PemBlock {
  readonly label: string
  readonly der: Buffer
}

/** All blocks of a PEM text, in order; text between blocks is skipped. Throws CertificateError 'malformed'. */
export function readPem(text: string, maxLength = MAX_PEM_LENGTH): PemBlock[] {
  if (text.length > maxLength) throw new CertificateError('malformed', `PEM text of more than ${maxLength} characters.`)
  const blocks: PemBlock[] = []
  // By searching, not by a regular expression: one pass over the text whatever stands in it.
  for (let begin = text.indexOf(BEGIN); begin >= 0;) {
    const labelEnd = text.indexOf(DASHES, begin + BEGIN.length)
    const label = text.slice(begin + BEGIN.length, Math.max(labelEnd, 0))
    const footer = `${DASHES}END ${label}${DASHES}`
    const end = labelEnd < 0 ? -1 : text.indexOf(footer, labelEnd)
    if (end < 0) throw new CertificateError('malformed', 'A PEM block begins and does not end.')
    blocks.push({ label, der: base64(text.slice(labelEnd + DASHES.length, end)) })
    begin = text.indexOf(BEGIN, end + footer.length)
  }
  return blocks
}

/** One PEM text with line breaks at 64 characters and at the end. */
export function writePem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/gu) ?? []
  return `${BEGIN}${label}${DASHES}\n${lines.join('\n')}\n${DASHES}END ${label}${DASHES}\n`
}

/** The certificates of a PEM text, one PEM each, in order; other blocks are skipped. Does not look inside them. */
export function splitPem(text: string): string[] {
  return readPem(text)
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => writePem('CERTIFICATE', der))
}

/** The certificates of a PEM text, parsed, in order. Throws CertificateError 'malformed' if one cannot be. */
export function parsePemChain(text: string): X509Certificate[] {
  return splitPem(text).map((pem) => parseX509(pem))
}

/** One certificate from PEM or DER. Throws CertificateError 'malformed'. */
export function parseX509(content: string | Buffer): X509Certificate {
  try {
    return new X509Certificate(content)
  } catch (cause) {
    throw new CertificateError('malformed', 'This is not an X.509 certificate.', { cause })
  }
}

/** With white space anywhere. Neither copies the text nor looks at it twice: lists of revocations have megabytes. */
const BASE64 = /^[\r\n\t ]*[A-Za-z0-9+/][A-Za-z0-9+/\r\n\t ]*(?:=[\r\n\t ]*){0,2}$/u

function base64(text: string): Buffer {
  if (!BASE64.test(text)) throw new CertificateError('malformed', 'A PEM block is not base64.')
  return Buffer.from(text, 'base64')
}
