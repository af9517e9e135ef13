import { closeSync } from 'node:fs'
import type { CancelSignal } from '@ambit/shared/cancellation'
import { messageOf } from '@ambit/shared/errors'
import { IoError, type TcpEnd } from '@ambit/shared/io'
import { familyOf, formatSocketAddress, isLinkLocal, isLoopback, type SocketAddress } from '@ambit/shared/ip'
import type { WorkerConfig } from '../config/index.ts'
import { FOREIGN_SOURCE, hasPortWindows, PORT_WINDOWS, prepareTcp, SystemCallError } from '../linux/index.ts'
import { ConnectionFailure } from './connection-failure.ts'
import type { PodProxy } from './pod-proxy.ts'

/** Istio: one limit for socket, bind and connect together. */
const DIAL_TIMEOUT_MS = 10_000
/** Windows of ports that are looked through before all ports are. */
const WINDOWS = 3
const NO_PORT = 'EADDRNOTAVAIL'

const WITHOUT_PROBES = { keepAlive: undefined, userTimeoutMs: undefined }

interface DialOptions {
  readonly source?: string | undefined
  /** Of a link-local address: the interface's name in the pod. */
  readonly zone?: string | undefined
  /** Where the address is certainly one of the pod itself. */
  readonly overLoopback?: boolean
  readonly signal?: CancelSignal
}

/**
 * A connection from inside the pod's namespace, marked so that the redirection leaves it alone. With `source` it comes
 * from that address (the client's), which the pod does not own. Rejects with IoError. The local port is looked for in a few
 * windows first, and among all seldom (see ScarcePorts).
 */
export async function dialFromPod(proxy: PodProxy, to: SocketAddress, options: DialOptions = {}): Promise<TcpEnd> {
  const { scarcePorts } = proxy
  const isScarce = scarcePorts.has(options.source, to)
  const windows = hasPortWindows() ? (isScarce ? 1 : WINDOWS) : 0
  for (let tried = 0; tried < windows; tried++) {
    try {
      return await connectOnce(proxy, to, options, Math.floor(proxy.context.random() * PORT_WINDOWS))
    } catch (error) {
      if (!lacksPort(error)) throw error
    }
  }
  if (isScarce)
    throw new IoError('other', `connect to ${formatSocketAddress(to)}: no local port (or address) is free`, {
      errno: NO_PORT,
    })
  if (windows > 0) scarcePorts.add(options.source, to)
  try {
    return await connectOnce(proxy, to, options)
  } catch (error) {
    if (lacksPort(error)) scarcePorts.add(options.source, to)
    throw error
  }
}

function lacksPort(error: unknown): boolean {
  return error instanceof IoError && error.errno === NO_PORT
}

/** Within one of the PORT_WINDOWS where one is given. */
function connectOnce(proxy: PodProxy, to: SocketAddress, options: DialOptions, portWindow?: number): Promise<TcpEnd> {
  const { config, descriptors, io } = proxy.context
  const { zone } = options
  if (zone !== undefined && io.name === 'stream') {
    return Promise.reject(new IoError('other', `${to.address}: AMBIT_IO=stream cannot dial link-local addresses`))
  }
  if (zone === undefined && isLinkLocal(to.address)) {
    // libuv would take the number of an interface of this process' own namespace, whatever the pod has by that number.
    return Promise.reject(new IoError('unreachable', `${to.address}: a link-local address takes an interface`))
  }
  // Over lo there is nobody to probe: an application that goes takes its connections with it. Four calls less.
  const { keepAlive, userTimeoutMs } = options.overLoopback === true ? WITHOUT_PROBES : config
  const fd = prepareTcp(proxy.namespace, {
    family: familyOf(to.address) ?? 4,
    mark: options.source === undefined ? config.packetMark : markOfForeignSource(config),
    source: options.source,
    portWindow,
    keepAlive,
    userTimeoutMs,
  })
  if (descriptors.isTouchedBy(fd)) {
    closeSync(fd)
    throw new SystemCallError('socket', 'EMFILE')
  }
  const how = { timeoutMs: DIAL_TIMEOUT_MS, ...(options.signal ? { signal: options.signal } : {}) }
  if (zone === undefined) return io.connect(fd, to, how)
  // libuv looks the zone up where the thread is, so this begins in the pod; the public byte path begins later, at home.
  return proxy.namespace.run(() => io.connect(fd, { ...to, address: `${to.address}%${zone}` }, how))
}

/** Whoever made a namespace with a proxy of its own has other rules, which may know the plain mark only. */
function markOfForeignSource({ mode, packetMark }: WorkerConfig): number | undefined {
  return mode === 'shared' ? packetMark | FOREIGN_SOURCE : packetMark
}

/**
 * Reaches the application of an inbound connection, from the client's address where that is on. A pod that calls itself
 * is dialled plainly, for the application would else see its own address with a port that is in use; and so is it for a
 * link-local client, for no route back over lo takes answers to such an address (Istio cannot bind to it either). What
 * listens on loopback, behind an app tunnel, is dialled from there: the client is in the PROXY header.
 */
export async function dialApplication(
  proxy: PodProxy,
  to: SocketAddress,
  client: SocketAddress,
  options: Pick<DialOptions, 'overLoopback' | 'zone' | 'signal'>,
): Promise<TcpEnd> {
  const sameFamily = familyOf(to.address) === familyOf(client.address)
  const keepsSource =
    proxy.originalSource &&
    sameFamily &&
    client.address !== to.address &&
    !isLinkLocal(client.address) &&
    !isLoopback(to.address)
  const source = keepsSource ? client.address : undefined
  try {
    return await dialFromPod(proxy, to, { ...options, source })
  } catch (error) {
    throw new ConnectionFailure('CONNECT', `connection failed: ${messageOf(error)}`, {
      source: 'upstream',
      cause: error,
    })
  }
}
