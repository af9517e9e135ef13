import { readdirSync, readFileSync } from 'node:fs'
import { addressBytes, familyOf, type Family } from '@ambit/shared/ip'
import { AF_INET, AF_INET6 } from './libc.ts'
import { NETLINK_HEADER_BYTES, NETLINK_ROUTE, messageType, netlinkMessage, withNetlink } from './netlink.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { attribute, routeHeader, RTA_DST, RTM_GETROUTE, RTM_NEWROUTE, RTN_LOCAL } from './rtnetlink.ts'

/** Of rtm_type in struct rtmsg, which comes behind the header. */
const ROUTE_TYPE_AT = NETLINK_HEADER_BYTES + 7

/** True where the namespace takes packets to that address for its own, an address of a local route without interface included. */
export function isLocalAddress(namespace: NetworkNamespace, address: string): boolean {
  const bytes = addressBytes(address)
  const header = routeHeader({ family: familyOf(address) === 6 ? AF_INET6 : AF_INET, length: 8 * bytes.length })
  return withNetlink(namespace, NETLINK_ROUTE, (ask) => {
    const answer = ask(netlinkMessage(RTM_GETROUTE, 0, [header, attribute(RTA_DST, bytes)]))
    // Else it is an error: there is no route at all.
    return messageType(answer) === RTM_NEWROUTE && answer[ROUTE_TYPE_AT] === RTN_LOCAL
  })
}

/** True where the kernel forwards packets between the namespace's interfaces: from any of them for IPv4, as it is set for all for IPv6. */
export function isForwarding(namespace: NetworkNamespace, family: Family): boolean {
  const directory = `/proc/sys/net/ipv${family}/conf`
  return namespace.run(() => {
    try {
      const names = family === 6 ? ['all'] : readdirSync(directory).filter((name) => name !== 'default')
      return names.some((name) => readFileSync(`${directory}/${name}/forwarding`, 'utf8').trim() !== '0')
    } catch {
      // Without IPv6 it is not there.
      return false
    }
  })
}
