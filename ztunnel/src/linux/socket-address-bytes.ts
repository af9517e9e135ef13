import type { SocketAddress } from '@ambit/shared/io'
import { addressBits, familyOf, ipv4Bits, parseIp } from '@ambit/shared/mesh'
import { AF_INET, AF_INET6 } from './libc.ts'

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes). */
export function encodeSocketAddress({ address, port }: SocketAddress): Buffer {
  const family = familyOf(address)
  const bytes = Buffer.alloc(family === 6 ? 28 : 16)
  bytes.writeUInt16LE(family === 6 ? AF_INET6 : AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  if (family === 6) ipv6Bytes(address).copy(bytes, 8)
  else bytes.writeUInt32BE(ipv4Bits(address), 4)
  return bytes
}

/** struct in6_addr: 16 bytes. */
export function ipv6Bytes(address: string): Buffer {
  return Buffer.from(addressBits(address).toString(16).padStart(32, '0'), 'hex')
}

/** The address in a struct sockaddr, canonical. Throws for another family. */
export function decodeSocketAddress(bytes: Buffer): SocketAddress {
  const family = bytes.readUInt16LE(0)
  const port = bytes.readUInt16BE(2)
  if (family === AF_INET) return { address: `${bytes[4]}.${bytes[5]}.${bytes[6]}.${bytes[7]}`, port }
  if (family !== AF_INET6) throw new Error(`address family ${family} is not an internet one`)
  const words: string[] = []
  for (let at = 8; at < 24; at += 2) words.push(bytes.readUInt16BE(at).toString(16))
  return { address: parseIp(words.join(':')) ?? '::', port }
}
