import { familyOf, isLinkLocal, type SocketAddress } from '@ambit/shared/ip'
import type { Workload } from '@ambit/shared/mesh'
import { isLocalAddress } from '../linux/index.ts'
import type { PodProxy } from './pod-proxy.ts'

interface Carried {
  readonly source: SocketAddress
  readonly destination: SocketAddress
}

/**
 * The redirection takes whatever reaches the pod, for whomever it is. What is for others goes on only where the kernel would
 * have forwarded it: else anybody on the pod's link could use each pod as a router, from the pod's own address even, for a
 * link-local client is not dialled for by its own. Throws where it must not go on.
 */
export function refuseUnlessForwarded(
  { namespace, forwarding }: PodProxy,
  local: Workload,
  { source, destination }: Carried,
): void {
  const { address } = destination
  // The record first: to ask the kernel takes 30 µs.
  if (local.workloadIps.includes(address) || isLocalAddress(namespace, address)) return
  // RFC 4291, 2.5.6.
  if (isLinkLocal(source.address) || isLinkLocal(address)) {
    throw new Error(`link-local packets are not forwarded, and ${address} is no address of this pod`)
  }
  if (forwarding.isForwarding(familyOf(address) ?? 4)) return
  throw new Error(`this pod forwards no packets, and ${address} is none of its addresses`)
}
