import type { SocketAddress } from '../ip/index.ts'

/**
 * Asks the kernel for the addresses of a socket; undefined where the connection is gone. Node's own way throws for a link-local
 * address of an interface that this process has not in its own network namespace.
 */
export interface SocketNames {
  remote(fd: number): SocketAddress | undefined
  local(fd: number): SocketAddress | undefined
}
