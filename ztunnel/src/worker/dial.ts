import { messageOf } from '@ambit/shared/errors'
import type { SocketAddress, TcpEnd } from '@ambit/shared/io'
import { prepareTcp } from '../linux/index.ts'
import { ConnectionError } from './connection-error.ts'
import type { PodProxy } from './pod-proxy.ts'

/** Istio: one limit for socket, bind and connect together. */
const DIAL_TIMEOUT_MS = 10_000

/**
 * A connection from inside the pod's namespace, marked so that the redirection leaves it alone. With `source` it comes
 * from that address (the client's), which the pod does not own. Rejects with IoError.
 */
export function dialFromPod(
  proxy: PodProxy,
  to: SocketAddress,
  options: { source?: string; signal?: AbortSignal } = {},
): Promise<TcpEnd> {
  const { config, io } = proxy.context
  const fd = prepareTcp(proxy.namespace, {
    family: to.address.includes(':') ? 6 : 4,
    mark: config.packetMark,
    source: options.source,
    keepAlive: config.keepAlive,
    userTimeoutMs: config.userTimeoutMs,
  })
  return io.connect(fd, to, { timeoutMs: DIAL_TIMEOUT_MS, ...(options.signal ? { signal: options.signal } : {}) })
}

/**
 * Reaches the application of an inbound connection, from the client's address where that is on. A pod that calls itself
 * is dialled plainly, for the application would else see its own address with a port that is in use.
 */
export async function dialApplication(
  proxy: PodProxy,
  to: SocketAddress,
  client: SocketAddress,
  signal?: AbortSignal,
): Promise<TcpEnd> {
  const sameFamily = to.address.includes(':') === client.address.includes(':')
  const keepsSource = proxy.originalSource && sameFamily && client.address !== to.address
  try {
    return await dialFromPod(proxy, to, {
      ...(keepsSource ? { source: client.address } : {}),
      ...(signal ? { signal } : {}),
    })
  } catch (error) {
    throw new ConnectionError('CONNECT', `connection failed: ${messageOf(error)}`, { source: 'upstream', cause: error })
  }
}
