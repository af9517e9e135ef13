import type { Family, SocketAddress } from '@ambit/shared/ip'
import { checked, libcGetsockopt, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP } from './libc.ts'
import { decodeSocketAddress } from './socket-address-bytes.ts'

const SO_BINDTODEVICE = 25
const TCP_INFO = 11
/** The state of a socket that is no connection any more. */
const TCP_CLOSE = 7
const SO_ORIGINAL_DST = 80
/** IFNAMSIZ of linux/if.h. */
const MAX_NAME_BYTES = 16

const destination = Buffer.alloc(28)
const destinationLength = Buffer.alloc(4)

/**
 * Where a redirected connection was going. For one that was never redirected the kernel answers the plain destination, so
 * the caller must refuse the proxy's own ports. Throws SystemCallError where there is no connection tracking entry.
 */
export function originalDestination(fd: number, family: Family): SocketAddress {
  destinationLength.writeInt32LE(destination.length)
  const level = family === 6 ? SOL_IPV6 : SOL_IP
  checked(libcGetsockopt(fd, level, SO_ORIGINAL_DST, destination, destinationLength), 'SO_ORIGINAL_DST')
  return decodeSocketAddress(destination)
}

const tcpInfo = Buffer.alloc(1)
const tcpInfoLength = Buffer.alloc(4)

/** True where the peer has reset the connection (tcpi_state of linux/tcp.h), or the descriptor is no connection at all. */
export function isReset(fd: number): boolean {
  tcpInfoLength.writeInt32LE(tcpInfo.length)
  return libcGetsockopt(fd, SOL_TCP, TCP_INFO, tcpInfo, tcpInfoLength) !== 0 || tcpInfo[0] === TCP_CLOSE
}

/**
 * The interface that a connection with a link-local peer is bound to by the kernel, by its name in the pod: the zone of its
 * link-local addresses. undefined where it is bound to none.
 */
export function zoneOf(fd: number): string | undefined {
  const name = Buffer.alloc(MAX_NAME_BYTES)
  const length = Buffer.from([MAX_NAME_BYTES, 0, 0, 0])
  checked(libcGetsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, length), 'SO_BINDTODEVICE')
  // The length counts the NUL at the end.
  return name.toString('latin1', 0, Math.max(0, length.readInt32LE() - 1)) || undefined
}
