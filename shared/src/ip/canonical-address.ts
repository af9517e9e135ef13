import { isLinkLocal } from './address-scope.ts'

/**
 * `::ffff:10.0.0.1` → `10.0.0.1`; `fe80::1%eth0` → `fe80::1`; anything else unchanged. Every address is made canonical before
 * any use: a zone id (RFC 4007 §11) has a meaning on one host only, and no record or policy of a mesh has one.
 */
export function canonicalAddress(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7)
  return isLinkLocal(address) ? (address.split('%', 1)[0] ?? address) : address
}
