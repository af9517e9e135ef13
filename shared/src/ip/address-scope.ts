/** fe80::/10: an address that is good on one link only, so that to dial it takes the interface as well. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][\da-f]:/.test(address)
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1'
}
