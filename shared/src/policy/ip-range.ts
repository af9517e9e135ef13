import { addressBits, familyOf, ipv4Bits, type Cidr, type Family } from '../ip/index.ts'

/** An address as a number: 32 bits of IPv4 as a number, 128 of IPv6 as a bigint, so that the two never compare equal. */
export type AddressBits = number | bigint

/** undefined for what is no IP address. */
export function bitsOf(address: string): AddressBits | undefined {
  switch (familyOf(address)) {
    case 4:
      return ipv4Bits(address)
    case 6:
      return addressBits(address)
    case undefined:
      return undefined
  }
}

/** The first `length` bits; what they are compared with must be of the same family and length. */
export function prefixOf(bits: AddressBits, length: number): AddressBits {
  if (typeof bits === 'bigint') return bits >> BigInt(128 - length)
  // A shift by 32 would be none at all.
  return length === 0 ? 0 : bits >>> (32 - length)
}

export function familyOfBits(bits: AddressBits): Family {
  return typeof bits === 'bigint' ? 6 : 4
}

/** A CIDR ready to be compared. Host bits that were written do not count: 127.0.0.1/24 holds 127.0.0.4. */
export interface IpRange {
  readonly family: Family
  readonly length: number
  readonly prefix: AddressBits
}

/** undefined when the address or the length cannot be. */
export function ipRange({ address, length }: Cidr): IpRange | undefined {
  const bits = bitsOf(address)
  if (bits === undefined) return undefined
  const family = familyOfBits(bits)
  if (!Number.isInteger(length) || length < 0 || length > (family === 4 ? 32 : 128)) return undefined
  return { family, length, prefix: prefixOf(bits, length) }
}

/** IPv4 is never in an IPv6 range, nor the reverse. */
export function isInRange({ family, length, prefix }: IpRange, bits: AddressBits): boolean {
  return familyOfBits(bits) === family && prefixOf(bits, length) === prefix
}
