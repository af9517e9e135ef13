import { constants } from 'node:os'
import { CONNECTION_MARK, MARK_MASK } from './in-pod-rules.ts'
import { AF_INET, AF_INET6, SystemCallError } from './libc.ts'
import { NETLINK_HEADER_BYTES, NETLINK_ROUTE, netlinkMessage, NLM_F_ACK, withNetlink } from './netlink.ts'
import type { NetworkNamespace } from './network-namespace.ts'

/** Istio's numbers: packets marked 0x111 look into table 100, which delivers everything locally. */
const TABLE = 100
const PREFERENCE = 32_764

const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_NEWRULE = 32
const RTM_DELRULE = 33
const NLM_F_REPLACE = 0x100
const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
const { EEXIST, ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP, EACCES } = constants.errno

/**
 * "ip rule add fwmark 0x111/0xfff lookup 100; ip route replace local default dev lo table 100", for IPv4 and IPv6: replies to
 * a connection that the proxy dialled from a foreign address find back to it over lo. By rtnetlink, 0.1 ms, no ip program.
 */
export const loopbackRouting = {
  /** Idempotent. A pod without IPv6 gets the IPv4 part only. */
  add(namespace: NetworkNamespace): void {
    talk(namespace, (send) => {
      for (const family of [AF_INET, AF_INET6]) {
        const refused = send(ruleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family), [
          EEXIST,
          ...withoutIpv6(family),
        ])
        if (refused === 0 || refused === EEXIST)
          send(routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family), withoutIpv6(family))
      }
    })
  },

  /** True when the rule is there: adding it again is refused. Adds it otherwise, which is what mending would do. */
  ensure(namespace: NetworkNamespace): 'present' | 'mended' {
    let mended = false
    talk(namespace, (send) => {
      for (const family of [AF_INET, AF_INET6]) {
        const rule = send(ruleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family), [EEXIST, ...withoutIpv6(family)])
        if (rule !== 0 && rule !== EEXIST) continue
        const route = send(routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, family), [
          EEXIST,
          ...withoutIpv6(family),
        ])
        mended ||= rule === 0 || route === 0
      }
    })
    return mended ? 'mended' : 'present'
  },

  /** Idempotent. */
  remove(namespace: NetworkNamespace): void {
    talk(namespace, (send) => {
      for (const family of [AF_INET, AF_INET6]) {
        send(ruleMessage(RTM_DELRULE, 0, family), [ENOENT, ...withoutIpv6(family)])
        send(routeMessage(RTM_DELROUTE, 0, family), [ESRCH, ENOENT, ...withoutIpv6(family)])
      }
    })
  },
}

function withoutIpv6(family: number): readonly number[] {
  return family === AF_INET6 ? [EAFNOSUPPORT, EOPNOTSUPP, EACCES] : []
}

type Send = (message: Buffer, tolerated: readonly number[]) => number

/** `send` answers 0 or the tolerated errno, and throws for any other. */
function talk(namespace: NetworkNamespace, conversation: (send: Send) => void): void {
  withNetlink(namespace, NETLINK_ROUTE, (ask) =>
    conversation((message, tolerated) => {
      // The negative errno of struct nlmsgerr.
      const errno = -ask(message).readInt32LE(NETLINK_HEADER_BYTES)
      if (errno === 0 || tolerated.includes(errno)) return errno
      const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`
      throw new SystemCallError('rtnetlink', name)
    }),
  )
}

/** struct fib_rule_hdr and its attributes (linux/fib_rules.h). */
function ruleMessage(type: number, flags: number, family: number): Buffer {
  const FR_ACT_TO_TBL = 1
  const header = Buffer.from([family, 0, 0, 0, TABLE, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0])
  const FRA_PRIORITY = 6
  const FRA_FWMARK = 10
  const FRA_TABLE = 15
  const FRA_FWMASK = 16
  return netlinkMessage(type, NLM_F_ACK | flags, [
    header,
    attribute(FRA_PRIORITY, PREFERENCE),
    attribute(FRA_FWMARK, CONNECTION_MARK),
    attribute(FRA_FWMASK, MARK_MASK),
    attribute(FRA_TABLE, TABLE),
  ])
}

/** struct rtmsg and its attributes (linux/rtnetlink.h). */
function routeMessage(type: number, flags: number, family: number): Buffer {
  const RTPROT_BOOT = 3
  const RT_SCOPE_HOST = 254
  const RTN_LOCAL = 2
  const header = Buffer.from([family, 0, 0, 0, TABLE, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0, 0, 0, 0])
  const RTA_OIF = 4
  const RTA_TABLE = 15
  const LOOPBACK_INTERFACE = 1
  return netlinkMessage(type, NLM_F_ACK | flags, [
    header,
    attribute(RTA_OIF, LOOPBACK_INTERFACE),
    attribute(RTA_TABLE, TABLE),
  ])
}

function attribute(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.writeUInt32LE(value, 4)
  return bytes
}
