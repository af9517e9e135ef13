// What we use of rtnetlink, as linux/rtnetlink.h has it.

export const RTM_NEWADDR = 20
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
export const RTM_NEWRULE = 32
export const RTM_DELRULE = 33
export const IFA_ADDRESS = 1
export const RTA_DST = 1
export const RTA_OIF = 4
export const RTA_TABLE = 15
export const RTN_LOCAL = 2

interface RouteHeader {
  readonly family: number
  /** Of the destination's prefix, in bits. */
  readonly length: number
  readonly table?: number
  readonly protocol?: number
  readonly scope?: number
  readonly type?: number
}

/** struct rtmsg. */
export function routeHeader({ family, length, table = 0, protocol = 0, scope = 0, type = 0 }: RouteHeader): Buffer {
  const header = Buffer.alloc(12)
  header.set([family, length, 0, 0, table, protocol, scope, type])
  return header
}

/** struct rtattr; a number is one of 32 bits. */
export function attribute(type: number, value: number | Buffer): Buffer {
  const header = Buffer.alloc(4)
  const payload = typeof value === 'number' ? Buffer.alloc(4) : value
  if (typeof value === 'number') payload.writeUInt32LE(value)
  header.writeUInt16LE(header.length + payload.length, 0)
  header.writeUInt16LE(type, 2)
  return Buffer.concat([header, payload])
}
