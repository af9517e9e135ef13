import { isIPv4, isIPv6 } from 'node:net'
import { canonicalAddress } from '../io/socket-address.ts'

/** A range of addresses as plain data. `address` is canonical with the host bits as they were written. */
export interface Cidr {
  readonly address: string
  /** Length of the prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number
}

export type Family = 4 | 6

const DOT = 46
const ZERO = 48

/** The family of an IP address, or undefined for any other text. */
export function familyOf(address: string): Family | undefined {
  if (isIPv4(address)) return 4
  return isIPv6(address) ? 6 : undefined
}

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

/** `10.0.0.0/8`, `fd00::/8`, or a bare address (all its bits). undefined where it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  const address = parseIp(slash < 0 ? text : text.slice(0, slash))
  if (address === undefined) return undefined
  const bits = familyOf(address) === 4 ? 32 : 128
  if (slash < 0) return { address, length: bits }
  const length = text.slice(slash + 1)
  return /^\d{1,3}$/.test(length) && Number(length) <= bits ? { address, length: Number(length) } : undefined
}

export function formatCidr({ address, length }: Cidr): string {
  return `${address}/${length}`
}

/** The 32 bits of a canonical IPv4 address. */
export function ipv4Bits(address: string): number {
  let bits = 0
  let part = 0
  for (let at = 0; at < address.length; at++) {
    const code = address.charCodeAt(at)
    if (code === DOT) {
      bits = bits * 256 + part
      part = 0
    } else part = part * 10 + code - ZERO
  }
  return bits * 256 + part
}

/** An address as its bits, IPv4 in 32, IPv6 in 128; the address must be canonical. */
export function addressBits(address: string): bigint {
  if (isIPv4(address)) return BigInt(ipv4Bits(address))
  return ipv6Words(address).reduce((bits, word) => (bits << 16n) | BigInt(word), 0n)
}

/** An address with all but the first `length` bits cleared. */
export function networkBits(address: string, length: number): bigint {
  const host = BigInt((isIPv4(address) ? 32 : 128) - length)
  return (addressBits(address) >> host) << host
}

function ipv6Words(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  const hex = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text
  const [left = '', right] = hex.split('::')
  const head = hexWords(left)
  if (right === undefined) return head
  const tail = hexWords(right)
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
}

function hexWords(part: string): number[] {
  return part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))
}
