import { familyOf, type Family } from '@ambit/shared/ip'
import {
  AF_INET,
  AF_INET6,
  checked,
  libcBind,
  libcClose,
  libcListen,
  libcSetsockopt,
  libcSocket,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
} from './libc.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { encodeSocketAddress } from './socket-address-bytes.ts'
import { bytesOf, setOption, SO_MARK } from './socket-option.ts'

const SO_REUSEADDR = 2
const SO_KEEPALIVE = 9
const SO_REUSEPORT = 15
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6
const TCP_USER_TIMEOUT = 18
const IP_TRANSPARENT = 19
const IP_BIND_ADDRESS_NO_PORT = 24
/** Linux 6.3. */
const IP_LOCAL_PORT_RANGE = 51
const IPV6_V6ONLY = 26
const IPV6_TRANSPARENT = 75

/** A listening socket in a pod. */
export interface ListenOptions {
  /** '::' takes IPv4 too. */
  readonly address: string
  readonly port: number
  readonly backlog: number
  readonly mark: number | undefined
  readonly reusePort: boolean
  /** true: it must work; false: off; undefined: on where the kernel permits it (Istio's ENABLE_ORIG_SRC). */
  readonly transparent: boolean | undefined
  readonly keepAlive: KeepAlive | undefined
  readonly userTimeoutMs: number | undefined
}

/**
 * A listening TCP socket inside the namespace; the caller owns `fd`. Accepted sockets inherit mark, transparency, keepalive and
 * user timeout. With `transparent` connections may be dialled from foreign addresses. Throws SystemCallError, such as EADDRINUSE.
 */
export function listenTcp(
  namespace: NetworkNamespace,
  options: ListenOptions,
): { readonly fd: number; readonly transparent: boolean } {
  const { address, port, backlog, mark, reusePort } = options
  const family = familyOf(address) ?? 4
  const fd = openTcp(namespace, family)
  try {
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark)
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    if (reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1)
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 0)
    if (options.keepAlive) setKeepAlive(fd, options.keepAlive)
    if (options.userTimeoutMs !== undefined) setOption(fd, SOL_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs)
    const transparent = makeTransparent(fd, family, options.transparent)
    const bytes = encodeSocketAddress({ address, port })
    checked(libcBind(fd, bytes, bytes.length), `bind ${address} port ${port}`)
    checked(libcListen(fd, backlog), `listen on port ${port}`)
    return { fd, transparent }
  } catch (error) {
    libcClose(fd)
    throw error
  }
}

/** TCP keepalive: idle time before the first probe, time between probes, and unanswered ones that end a connection. */
export interface KeepAlive {
  readonly timeS: number
  readonly intervalS: number
  readonly retries: number
}

/** A socket in a pod that is to dial. */
export interface PrepareOptions {
  /** Of the address that will be dialled. */
  readonly family: Family
  readonly mark: number | undefined
  /** Dial from this address, which need not be one of the pod's; of the same family. */
  readonly source?: string | undefined
  /** Which of the PORT_WINDOWS the port is looked for in; all ports where it is not given. */
  readonly portWindow?: number | undefined
  readonly keepAlive: KeepAlive | undefined
  readonly userTimeoutMs: number | undefined
}

/** A TCP socket inside the namespace, not yet connected; the caller owns it. Only socket(2) itself runs inside: 10 µs in all. */
export function prepareTcp(
  namespace: NetworkNamespace,
  { family, mark, source, portWindow, keepAlive, userTimeoutMs }: PrepareOptions,
): number {
  const fd = openTcp(namespace, family)
  try {
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark)
    if (keepAlive) setKeepAlive(fd, keepAlive)
    if (userTimeoutMs !== undefined) setOption(fd, SOL_TCP, TCP_USER_TIMEOUT, userTimeoutMs)
    if (portWindow !== undefined) lookWithin(fd, portWindow)
    if (source !== undefined) bindForeign(fd, family, source)
    return fd
  } catch (error) {
    libcClose(fd)
    throw error
  }
}

function setKeepAlive(fd: number, { timeS, intervalS, retries }: KeepAlive): void {
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
  setOption(fd, SOL_TCP, TCP_KEEPIDLE, timeS)
  setOption(fd, SOL_TCP, TCP_KEEPINTVL, intervalS)
  setOption(fd, SOL_TCP, TCP_KEEPCNT, retries)
}

function openTcp(namespace: NetworkNamespace, family: Family): number {
  const domain = family === 6 ? AF_INET6 : AF_INET
  return namespace.run(() => checked(libcSocket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket'))
}

/** Linux' own range of ports for connections, cut in windows. */
const FIRST_PORT = 32_768
const WINDOW_PORTS = 1_024
/** Parts that the local ports are divided into, so that a dial looks through one of them: 27 of 1,024. */
export const PORT_WINDOWS = 27

let kernelHasWindows = true

/** False where this kernel is known to have none: every connect() looks through all ports then. */
export function hasPortWindows(): boolean {
  return kernelHasWindows
}

/**
 * connect looks for a port within one window, for it goes through all that it may use: where 14,000 ports towards one application
 * were in TIME_WAIT, each connect took 1.4 to 3 ms of the worker's time.
 */
function lookWithin(fd: number, portWindow: number): void {
  const first = FIRST_PORT + portWindow * WINDOW_PORTS
  const range = bytesOf(((first + WINDOW_PORTS - 1) << 16) | first)
  if (libcSetsockopt(fd, SOL_IP, IP_LOCAL_PORT_RANGE, range, 4) !== 0) kernelHasWindows = false
}

/** Of the last connection: the next often comes from the same client. */
let lastSource: { readonly address: string; readonly bytes: Buffer } | undefined

/** Binds to an address that is not ours. The port is chosen at connect, where the whole tuple counts: else 28,000 would be all. */
function bindForeign(fd: number, family: Family, source: string): void {
  const level = family === 6 ? SOL_IPV6 : SOL_IP
  setOption(fd, level, family === 6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1)
  setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
  if (lastSource?.address !== source) {
    lastSource = { address: source, bytes: encodeSocketAddress({ address: source, port: 0 }) }
  }
  const { bytes } = lastSource
  checked(libcBind(fd, bytes, bytes.length), `bind ${source}`)
}

function makeTransparent(fd: number, family: Family, wanted: boolean | undefined): boolean {
  if (wanted === false) return false
  try {
    // An IPv6 listener takes IPv4 connections too; those need the IPv4 option as well.
    setOption(fd, SOL_IP, IP_TRANSPARENT, 1)
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1)
    return true
  } catch (error) {
    if (wanted) throw error
    return false
  }
}
