/** An IP address in canonical text form (IPv4-mapped IPv6 is written as IPv4, no zone id) and a port. */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/**
 * `::ffff:10.0.0.1` → `10.0.0.1`; `fe80::1%eth0` → `fe80::1`; anything else unchanged. Every address is made canonical before
 * any use: a zone id (RFC 4007 §11) has a meaning on one host only, and no record or policy of a mesh has one.
 */
export function canonicalAddress(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7)
  return isLinkLocal(address) ? (address.split('%', 1)[0] ?? address) : address
}

/** fe80::/10: an address that is good on one link only, so that to dial it takes the interface as well. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/.test(address)
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}

/**
 * Asks the kernel for the addresses of a socket; undefined where the connection is gone. Node's own way throws for a link-local
 * address of an interface that this process has not in its own network namespace.
 */
export interface SocketNames {
  remote(fd: number): SocketAddress | undefined
  local(fd: number): SocketAddress | undefined
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
