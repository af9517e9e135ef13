import { constants } from 'node:os'
import { addressBytes } from '@ambit/shared/ip'
import { CAPTURE_PREFIX_V6, CONNECTION_MARK, MARK_MASK } from './in-pod-rules.ts'
import { AF_INET, AF_INET6, SystemCallError } from './libc.ts'
import { NETLINK_HEADER_BYTES, NETLINK_ROUTE, netlinkMessage, NLM_F_ACK, withNetlink } from './netlink.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import {
  attribute,
  routeHeader,
  RTA_DST,
  RTA_OIF,
  RTA_TABLE,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTN_LOCAL,
} from './rtnetlink.ts'

/** Istio's numbers: packets marked 0x111 look into table 100, which delivers everything locally. */
const TABLE = 100
const PREFERENCE = 32_764
const UNREACHABLE_PREFERENCE = 32_765
/** The kernel's own, of what is local. */
const LOCAL_TABLE = 255

const NLM_F_REPLACE = 0x100
const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400
const { EEXIST, ENOENT, ESRCH, EAFNOSUPPORT, EOPNOTSUPP, EACCES } = constants.errno

interface LocalRoute {
  readonly family: number
  readonly table: number
  /** Everything where undefined. */
  readonly prefix?: Prefix
}

interface Prefix {
  readonly bytes: Buffer
  readonly bits: number
}

/** What of the IPv6 connections is redirected arrives here, as IPv4's does at 127.0.0.0/8, which is local anyway. */
const CAPTURE_PREFIX: Prefix = { bytes: addressBytes(CAPTURE_PREFIX_V6), bits: 64 }
const CAPTURE_ROUTE: LocalRoute = { family: AF_INET6, table: LOCAL_TABLE, prefix: CAPTURE_PREFIX }

/**
 * "ip rule add fwmark 0x111/0xfff lookup 100; ip route replace local default dev lo table 100", for IPv4 and IPv6: replies to
 * a connection that the proxy dialled from a foreign address find back to it over lo. And "ip route replace local
 * fd16:9254:7127:1501::/64 dev lo", where the rules redirect to. The kernel takes that route away when lo goes down or IPv6 is
 * turned off, and puts back its own only. So "ip -6 rule add to fd16:9254:7127:1501::/64 unreachable", which stays: until it is
 * mended such connections fail, and no byte of them leaves the pod in the clear. By rtnetlink, 0.1 ms, no ip program.
 */
export const loopbackRouting = {
  /** Idempotent. A pod without IPv6 gets the IPv4 part only. */
  add(namespace: NetworkNamespace): void {
    put(namespace, NLM_F_REPLACE)
  },

  /** What is there is refused when it is added again; what is not is added, which is what mending would do. */
  ensure(namespace: NetworkNamespace): 'present' | 'mended' {
    return put(namespace, NLM_F_EXCL) ? 'mended' : 'present'
  },

  /** Idempotent. */
  remove(namespace: NetworkNamespace): void {
    talk(namespace, (send) => {
      for (const family of [AF_INET, AF_INET6]) {
        for (const rule of rules(family)) send(ruleMessage(RTM_DELRULE, 0, rule), [ENOENT, ...withoutIpv6(family)])
        for (const route of localRoutes(family))
          send(routeMessage(RTM_DELROUTE, 0, route), [ESRCH, ENOENT, ...withoutIpv6(family)])
      }
    })
  },
}

/** Answers whether something was added that was not there, where routes are not to be replaced. */
function put(namespace: NetworkNamespace, routeFlag: typeof NLM_F_REPLACE | typeof NLM_F_EXCL): boolean {
  let added = false
  talk(namespace, (send) => {
    for (const family of [AF_INET, AF_INET6]) {
      const tolerated = [EEXIST, ...withoutIpv6(family)]
      const answers = rules(family).map((rule) =>
        send(ruleMessage(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule), tolerated),
      )
      // A route of a table that no rule leads to may end up in another.
      if (answers.some((errno) => errno !== 0 && errno !== EEXIST)) continue
      for (const route of localRoutes(family))
        answers.push(send(routeMessage(RTM_NEWROUTE, NLM_F_CREATE | routeFlag, route), tolerated))
      added ||= answers.includes(0)
    }
  })
  return added
}

interface RoutingRule {
  readonly family: number
  readonly preference: number
  /** Where it is not given, it is the rule for the mark. */
  readonly unreachable?: Prefix
}

function rules(family: number): readonly RoutingRule[] {
  const marked = { family, preference: PREFERENCE }
  if (family !== AF_INET6) return [marked]
  return [marked, { family, preference: UNREACHABLE_PREFERENCE, unreachable: CAPTURE_PREFIX }]
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
      throw SystemCallError.ofErrno('rtnetlink', errno)
    }),
  )
}

/** struct fib_rule_hdr and its attributes (linux/fib_rules.h). */
function ruleMessage(type: number, flags: number, rule: RoutingRule): Buffer {
  const FR_ACT_TO_TBL = 1
  const FR_ACT_UNREACHABLE = 7
  const FRA_DST = 1
  const FRA_PRIORITY = 6
  const FRA_FWMARK = 10
  const FRA_TABLE = 15
  const FRA_FWMASK = 16
  const { family, preference, unreachable } = rule
  const [bits, table, action] = unreachable ? [unreachable.bits, 0, FR_ACT_UNREACHABLE] : [0, TABLE, FR_ACT_TO_TBL]
  const ofMark = [attribute(FRA_FWMARK, CONNECTION_MARK), attribute(FRA_FWMASK, MARK_MASK), attribute(FRA_TABLE, TABLE)]
  return netlinkMessage(type, NLM_F_ACK | flags, [
    Buffer.from([family, bits, 0, 0, table, 0, 0, action, 0, 0, 0, 0]),
    attribute(FRA_PRIORITY, preference),
    ...(unreachable ? [attribute(FRA_DST, unreachable.bytes)] : ofMark),
  ])
}

/** struct rtmsg and its attributes (linux/rtnetlink.h). */
function routeMessage(type: number, flags: number, { family, table, prefix }: LocalRoute): Buffer {
  const RTPROT_BOOT = 3
  const RT_SCOPE_HOST = 254
  const LOOPBACK_INTERFACE = 1
  return netlinkMessage(type, NLM_F_ACK | flags, [
    routeHeader({
      family,
      length: prefix?.bits ?? 0,
      table,
      protocol: RTPROT_BOOT,
      scope: RT_SCOPE_HOST,
      type: RTN_LOCAL,
    }),
    ...(prefix === undefined ? [] : [attribute(RTA_DST, prefix.bytes)]),
    attribute(RTA_OIF, LOOPBACK_INTERFACE),
    attribute(RTA_TABLE, table),
  ])
}
