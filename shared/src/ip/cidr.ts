import { familyOf } from './family.ts'
import { parseIp } from './parse-ip.ts'

/** A range of addresses as plain data. `address` is canonical with the host bits as they were written. */
export interface Cidr {
  readonly address: string
  /** Length of the prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number
}

/** Bits before the IPv4 address in one that is written as IPv6. */
const MAPPED_BITS = 96

/**
 * `10.0.0.0/8`, `fd00::/8`, or a bare address (all its bits). undefined where it is neither. An IPv4-mapped range is one of IPv4,
 * as its address is: `::ffff:10.0.0.0/104` is 10.0.0.0/8, and one of less than 96 bits, which holds more than that, is none.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/')
  const written = slash < 0 ? text : text.slice(0, slash)
  const address = parseIp(written)
  if (address === undefined) return undefined
  const isIpv4 = familyOf(address) === 4
  const bits = isIpv4 ? 32 : 128
  if (slash < 0) return { address, length: bits }
  const digits = text.slice(slash + 1)
  if (!/^\d{1,3}$/.test(digits)) return undefined
  const length = Number(digits) - (isIpv4 && written.includes(':') ? MAPPED_BITS : 0)
  return length >= 0 && length <= bits ? { address, length } : undefined
}

/** The inverse of `parseCidr`. */
export function formatCidr({ address, length }: Cidr): string {
  return `${address}/${length}`
}
