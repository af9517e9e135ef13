import { familyOf } from './family.ts'
import { parseIp } from './parse-ip.ts'

/** A range of addresses as plain data. `address` is canonical with the host bits as they were written. */
export interface Cidr {
  readonly address: string
  /** Length of the prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly length: number
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

/** The inverse of `parseCidr`. */
export function formatCidr({ address, length }: Cidr): string {
  return `${address}/${length}`
}
