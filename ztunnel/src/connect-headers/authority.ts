import { familyOf, parseIp } from '@ambit/shared/ip'

/** The target of a CONNECT. */
export type Authority =
  | { readonly kind: 'address'; readonly address: string; readonly port: number }
  | { readonly kind: 'hostname'; readonly hostname: string; readonly port: number }

/**
 * What a URI may have for a host that is no address (RFC 3986 section 3.2.2, without escapes), so that a name of the mesh such as
 * `*.example.com` can be asked for. It is only looked up there.
 */
const HOSTNAME = /^[\w.~!$&'()*+,;=-]{1,253}$/

/**
 * `10.0.0.1:80`, `[fd00::1]:80` or `host:80`; the port is always written, and may be 0 (an app tunnel has one of its own). undefined
 * for anything else.
 */
export function parseAuthority(text: string | undefined): Authority | undefined {
  const parts = /^(?:\[([^\]]{2,45})\]|([^:[\]]{1,253})):(\d{1,5})$/.exec(text ?? '')
  const port = Number(parts?.[3])
  if (!parts || port > 65_535) return undefined
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
