/** An IP address in canonical text form (IPv4-mapped IPv6 is written as IPv4) and a port. */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/** `::ffff:10.0.0.1` → `10.0.0.1`; anything else unchanged. Every address is made canonical before any use. */
export function canonicalAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
