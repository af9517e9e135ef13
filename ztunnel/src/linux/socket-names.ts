import type { SocketNames } from '@ambit/shared/io'
import type { SocketAddress } from '@ambit/shared/ip'
import { libcGetpeername, libcGetsockname } from './libc.ts'
import { decodeSocketAddress } from './socket-address-bytes.ts'

/** struct sockaddr_in6. */
const MAX_BYTES = 28

/** The addresses of sockets in any network namespace. */
export const socketNames: SocketNames = {
  remote: (fd) => ask(libcGetpeername, fd),
  local: (fd) => ask(libcGetsockname, fd),
}

function ask(call: typeof libcGetpeername, fd: number): SocketAddress | undefined {
  const address = Buffer.alloc(MAX_BYTES)
  return call(fd, address, Buffer.from([MAX_BYTES, 0, 0, 0])) === 0 ? decodeSocketAddress(address) : undefined
}
