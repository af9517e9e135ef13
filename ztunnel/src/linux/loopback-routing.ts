import { constants } from 'node:os'
import { CAPTURE_PREFIX_V6, CONNECTION_MARK, MARK_MASK } from './in-pod-rules.ts'
import { AF_INET, AF_INET6, SystemCallError } from './libc.ts'
import { NETLINK_HEADER_BYTES, NETLINK_ROUTE, netlinkMessage, NLM_F_ACK, withNetlink } from './netlink.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { ipv6Bytes } from './socket-address-bytes.ts'

/** Istio's numbers: packets marked 0x111 look into table 100, which delivers everything locally. */
const TABLE = 100
const PREFERENCE = 32_764
/** The kernel's own, of what is local. */
const LOCAL_TABLE = 255

const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_NEWRULE = 32
const RTM_DELRULE = 33
const NLM_F_REPLACE = 0x100
const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
const { EEXIST, ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP, EACCES } = constants.errno

interface LocalRoute {
  readonly family: number
  readonly table: number
  /** Everything where undefined. */
  readonly prefix?: { readonly bytes: Buffer; readonly bits: number }
}

/** What of the IPv6 connections is redirected arrives here, as IPv4's does at 127.0.0.0/8, which is local anyway. */
const CAPTURE_ROUTE: LocalRoute = {
  family: AF_INET6,
  table: LOCAL_TABLE,
  prefix: { bytes: ipv6Bytes(CAPTURE_PREFIX_V6), bits: 64 },
}

/**
 * "ip rule add fwmark 0x111/0xfff lookup 100; ip route replace local default dev lo table 100", for IPv4 and IPv6: replies to
 * a connection that the proxy dialled from a foreign address find back to it over lo. And "ip route replace local
 * fd16:9254:7127:1501::/64 dev lo", where the rules redirect to. By rtnetlink, 0.1 ms, no ip program.
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
        if (refused !== 0 && refused !== EEXIST) continue
        for (const route of localRoutes(family))
          send(routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route), withoutIpv6(family))
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
        mended ||= rule === 0
        for (const route of localRoutes(family)) {
          const added = routeMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route)
          if (send(added, [EEXIST, ...withoutIpv6(family)]) === 0) mended = true
        }
      }
    })
    return mended ? 'mended' : 'present'
  },

  /** Idempotent. */
  remove(namespace: NetworkNamespace): void {
    talk(namespace, (send) => {
      for (const family of [AF_INET, AF_INET6]) {
        send(ruleMessage(RTM_DELRULE, 0, family), [ENOENT, ...withoutIpv6(family)])
        for (const route of localRoutes(family))
          send(routeMessage(RTM_DELROUTE, 0, route), [ESRCH, ENOENT, ...withoutIpv6(family)])
      }
    })
  },
}

function localRoutes(family: number): readonly LocalRoute[] {
  return [{ family, table: TABLE }, ...(family === AF_INET6 ? [CAPTURE_ROUTE] : [])]
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
function routeMessage(type: number, flags: number, { family, table, prefix }: LocalRoute): Buffer {
  const RTPROT_BOOT = 3
  const RT_SCOPE_HOST = 254
  const RTN_LOCAL = 2
  const header = Buffer.from([
    family,
    prefix?.bits ?? 0,
    0,
    0,
    table,
    RTPROT_BOOT,
    RT_SCOPE_HOST,
    RTN_LOCAL,
    0,
    0,
    0,
    0,
  ])
  const RTA_DST = 1
  const RTA_OIF = 4
  const RTA_TABLE = 15
  const LOOPBACK_INTERFACE = 1
  return netlinkMessage(type, NLM_F_ACK | flags, [
    header,
    ...(prefix === undefined ? [] : [attribute(RTA_DST, prefix.bytes)]),
    attribute(RTA_OIF, LOOPBACK_INTERFACE),
    attribute(RTA_TABLE, table),
  ])
}

/** struct rtattr; a number is one of 32 bits. */
function attribute(type: number, value: number | Buffer): Buffer {
  const header = Buffer.alloc(4)
  const payload = typeof value === 'number' ? Buffer.alloc(4) : value
  if (typeof value === 'number') payload.writeUInt32LE(value)
  header.writeUInt16LE(header.length + payload.length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, payload])
}
