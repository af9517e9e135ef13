import { addressBytes, parseIp, type SocketAddress } from '@ambit/shared/ip'
import { AF_INET, AF_INET6 } from './libc.ts'

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes). */
export function encodeSocketAddress({ address, port }: SocketAddress): Buffer {
  const host = addressBytes(address)
  const isV6 = host.length === 16
  const bytes = Buffer.alloc(isV6 ? 28 : 16)
  bytes.writeUInt16LE(isV6 ? AF_INET6 : AF_INET, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(host, isV6 ? 8 : 4)
  return bytes
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
