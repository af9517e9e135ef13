/** The proxy's own ports; a connection to one of them would come back to the proxy for ever. */
export function isProxyPort(port: number): boolean {
  return port === 15_001 || port === 15_006 || port === 15_008
}

export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}

/** The port of HBONE at every pod. */
export const HBONE_PORT = 15_008
