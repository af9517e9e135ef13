import { closeSync, readSync, writeSync } from 'node:fs'
import { AF_NETLINK, checked, libcSocket, SOCK_CLOEXEC, SOCK_RAW } from './libc.ts'
import type { NetworkNamespace } from './network-namespace.ts'

/** Netlink families (linux/netlink.h). */
export const NETLINK_ROUTE = 0
export const NETLINK_NETFILTER = 12

const NLM_F_REQUEST = 1
export const NLM_F_ACK = 4

/** struct nlmsghdr. */
export const NETLINK_HEADER_BYTES = 16
/** Of nlmsg_type in it. */
const TYPE_AT = 4
const MAX_ANSWER_BYTES = 4_096

/** Sends one message and gives the kernel's answer, valid until the next one. */
export type Ask = (message: Buffer) => Buffer

/** A conversation with the kernel about the namespace. Throws SystemCallError. Synchronous; the kernel answers at once. */
export function withNetlink<T>(namespace: NetworkNamespace, family: number, conversation: (ask: Ask) => T): T {
  const fd = namespace.run(() => checked(libcSocket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family), 'socket(AF_NETLINK)'))
  const answer = Buffer.alloc(MAX_ANSWER_BYTES)
  try {
    return conversation((message) => {
      writeSync(fd, message)
      return answer.subarray(0, readSync(fd, answer))
    })
  } finally {
    closeSync(fd)
  }
}

/** A request with its header. */
export function netlinkMessage(type: number, flags: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const header = Buffer.alloc(NETLINK_HEADER_BYTES)
  header.writeUInt32LE(header.length + body.length, 0)
  header.writeUInt16LE(type, TYPE_AT)
  header.writeUInt16LE(NLM_F_REQUEST | flags, 6)
  header.writeUInt32LE(1, 8)
  return Buffer.concat([header, body])
}

/** What the kernel answers with: another type than was hoped for tells of an error. */
export function messageType(message: Buffer): number {
  return message.readUInt16LE(TYPE_AT)
}
