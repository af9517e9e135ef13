import { addressBytes, familyOf } from '@ambit/shared/ip'
import { isLocalAddress } from './forwarding.ts'
import { AF_INET6 } from './libc.ts'
import { messageType, NETLINK_ROUTE, netlinkMessage, withNetlink } from './netlink.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { attribute, IFA_ADDRESS, RTM_GETADDR, RTM_NEWADDR } from './rtnetlink.ts'

/**
 * True where the namespace has that address, an IPv6 address that the kernel still looks for elsewhere on the link (RFC 4862)
 * included. 30 to 60 µs, however many addresses there are.
 */
export function isAssigned(namespace: NetworkNamespace, address: string): boolean {
  if (isLocalAddress(namespace, address)) return true
  if (familyOf(address) !== 6) return false
  // No route leads to such an address yet. struct ifaddrmsg: the family and, by any interface, nothing else.
  const header = Buffer.from([AF_INET6, 0, 0, 0, 0, 0, 0, 0])
  return withNetlink(namespace, NETLINK_ROUTE, (ask) => {
    const answer = ask(netlinkMessage(RTM_GETADDR, 0, [header, attribute(IFA_ADDRESS, addressBytes(address))]))
    // Else it is an error: it is not there.
    return messageType(answer) === RTM_NEWADDR
  })
}
