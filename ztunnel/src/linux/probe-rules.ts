import { familyOf } from '@ambit/shared/ip'
import { PROBE_ADDRESS_V4, PROBE_ADDRESS_V6 } from './in-pod-rules.ts'

/** The table in the node's namespace. */
export const NODE_TABLE = 'ambit-node'

/**
 * The sets and chains of NODE_TABLE. Connections of the node's own processes (kubelet probes) to captured pods get a
 * recognisable source address, which the pods' rules let pass. "skuid 0-4294967294" means that the packet has a local socket:
 * forwarded traffic keeps its source. The whole set is in it, so replacing it forgets pods that have left.
 */
export function probeRules(podAddresses: readonly string[]): string {
  const v4 = podAddresses.filter((address) => familyOf(address) === 4)
  const v6 = podAddresses.filter((address) => familyOf(address) === 6)
  return `  set pods4 { type ipv4_addr;${elements(v4)} }
  set pods6 { type ipv6_addr;${elements(v6)} }
  chain probes {
    type nat hook postrouting priority 99; policy accept;
    meta l4proto tcp meta skuid 0-4294967294 ip daddr @pods4 snat ip to ${PROBE_ADDRESS_V4}
    meta l4proto tcp meta skuid 0-4294967294 ip6 daddr @pods6 snat ip6 to ${PROBE_ADDRESS_V6}
  }
`
}

function elements(addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : ` elements = { ${addresses.join(', ')} };`
}
