import type { SpiffeId } from '@ambit/shared/identity'
import { addressBytes, familyOf, type SocketAddress } from '@ambit/shared/ip'

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** Version 2, command PROXY. */
const VERSION_AND_COMMAND = 0x21
const TCP4 = 0x11
const TCP6 = 0x21
const UNSPECIFIED = 0x01
/** Istio's TLV of the peer's SPIFFE id. */
const TLV_IDENTITY = 0xd0

/** What an application behind a PROXY app tunnel is told. */
export interface ProxyHeader {
  readonly source: SocketAddress
  readonly destination: SocketAddress
  readonly identity: SpiffeId | undefined
}

/** A PROXY protocol v2 header with the peer's identity as TLV 0xD0. Where the families differ it carries no addresses. */
export function encodeProxyHeader({ source, destination, identity }: ProxyHeader): Buffer {
  const family = familyOf(source.address)
  const sameFamily = family === familyOf(destination.address)
  const addresses = sameFamily && family ? encodeAddresses(source, destination) : Buffer.alloc(0)
  const tlv = identity ? encodeTlv(TLV_IDENTITY, Buffer.from(identity.toString(), 'ascii')) : Buffer.alloc(0)
  const head = Buffer.alloc(4)
  head[0] = VERSION_AND_COMMAND
  head[1] = sameFamily ? (family === 4 ? TCP4 : TCP6) : UNSPECIFIED
  head.writeUInt16BE(addresses.length + tlv.length, 2)
  return Buffer.concat([SIGNATURE, head, addresses, tlv])
}

function encodeAddresses(source: SocketAddress, destination: SocketAddress): Buffer {
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination.port, 2)
  return Buffer.concat([addressBytes(source.address), addressBytes(destination.address), ports])
}

function encodeTlv(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(3)
  head[0] = type
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}
