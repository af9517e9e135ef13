import { familyOf, parseIp } from '@ambit/shared/ip'

/** The target of a CONNECT. */
export type Authority =
  | { readonly kind: 'address'; readonly address: string; readonly port: number }
  | { readonly kind: 'hostname'; readonly hostname: string; readonly port: number }

/** A DNS name: letters, digits, hyphen, underscore and dots, at most 253 bytes. */
const HOSTNAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/i

/** `10.0.0.1:80`, `[fd00::1]:80` or `host:80`; the port is always written. undefined for anything else. */
export function parseAuthority(text: string | undefined): Authority | undefined {
  const parts = /^(?:\[([^\]]{2,45})\]|([^:[\]]{1,253})):(\d{1,5})$/.exec(text ?? '')
  const port = Number(parts?.[3])
  if (!parts || port < 1 || port > 65_535) return undefined
  const [, bracketed, plain = ''] = parts
  if (bracketed !== undefined) {
    const address = familyOf(bracketed) === 6 ? parseIp(bracketed) : undefined
    return address === undefined ? undefined : { kind: 'address', address, port }
  }
  if (familyOf(plain) === 4) return { kind: 'address', address: plain, port }
  // What looks like an address but is none (300.1.2.3, 0x7f.1) must not be taken for a name.
  if (/^[\d.]+$/.test(plain) || !HOSTNAME.test(plain)) return undefined
  return { kind: 'hostname', hostname: plain.toLowerCase(), port }
}
