import { isIPv4, isIPv6 } from 'node:net'
import { canonicalAddress } from './canonical-address.ts'
import { ipv6Words } from './ipv6-words.ts'

/**
 * The one text of an IP address: IPv4 dotted, IPv6 compressed in lower case, IPv4-mapped written as IPv4. undefined for
 * anything else, zone ids included.
 */
export function parseIp(text: string): string | undefined {
  if (isIPv4(text)) return text
  if (!isIPv6(text) || text.includes('%')) return undefined
  const words = ipv6Words(text)
  if (words[5] === 0xffff && words.slice(0, 5).every((word) => word === 0)) {
    const [high = 0, low = 0] = words.slice(6)
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  // The URL parser writes IPv6 hosts in their one canonical form (RFC 5952).
  return canonicalAddress(new URL(`http://[${text}]/`).hostname.slice(1, -1))
}
