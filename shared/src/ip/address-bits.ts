import { isIPv4 } from 'node:net'
import { ipv6Words } from './ipv6-words.ts'

const DOT = 46
const ZERO = 48

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

/** An address as a packet has it, first byte first: IPv4 in 4, IPv6 in 16. The address is one without a zone id. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(ipv4Bits(address))
    return bytes
  }
  const bytes = Buffer.alloc(16)
  for (const [at, word] of ipv6Words(address).entries()) bytes.writeUInt16BE(word, 2 * at)
  return bytes
}
