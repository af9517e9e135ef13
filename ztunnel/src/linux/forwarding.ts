import { opendirSync, readFileSync } from 'node:fs'
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

/** Interfaces that are asked for IPv4; a pod may have thousands, and each takes 30 µs. */
const MAX_INTERFACES = 64

/**
 * True where the kernel forwards packets between the namespace's interfaces: where that is set for all of them or, for IPv4, for
 * one of the first 64. Synchronous; up to 2 ms.
 */
export function isForwarding(namespace: NetworkNamespace, family: Family): boolean {
  const directory = `/proc/sys/net/ipv${family}/conf`
  const isSet = (name: string): boolean => {
    try {
      return readFileSync(`${directory}/${name}/forwarding`, 'utf8').trim() !== '0'
    } catch {
      // It has just gone; without IPv6 none is there.
      return false
    }
  }
  return namespace.run(() => isSet('all') || (family === 4 && firstNames(directory).some(isSet)))
}

/** Of the interfaces whose settings are in the directory. */
function firstNames(directory: string): readonly string[] {
  const names: string[] = []
  const opened = opendirSync(directory, { bufferSize: MAX_INTERFACES })
  try {
    while (names.length < MAX_INTERFACES) {
      const name = opened.readSync()?.name
      if (name === undefined) break
      if (name !== 'all' && name !== 'default') names.push(name)
    }
  } finally {
    opened.closeSync()
  }
  return names
}
