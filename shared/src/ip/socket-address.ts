/** An IP address in canonical text form (IPv4-mapped IPv6 is written as IPv4, no zone id) and a port. */
export interface SocketAddress {
  readonly address: string
  readonly port: number
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
