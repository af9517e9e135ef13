import type { ListenHandle, ByteIo } from '@ambit/shared/io'
import { listenTcp, type KeepAlive, type NetworkNamespace } from '../linux/index.ts'
import { LISTEN_BACKLOG } from '../listen-backlog.ts'
import type { ListenerRole } from '../messages.ts'
import { PROXY_PORTS } from '../proxy-ports.ts'

export interface PodListener {
  readonly role: ListenerRole
  readonly handle: ListenHandle
  /** The kernel lets its connections keep the client's address. */
  readonly transparent: boolean
}

export interface PodListenOptions {
  readonly mark: number | undefined
  readonly reusePort: boolean
  /** true: must work; false: off; undefined: where possible. */
  readonly originalSource: boolean | undefined
  readonly ipv6: boolean
  readonly keepAlive: KeepAlive | undefined
  readonly userTimeoutMs: number | undefined
}

/**
 * Opens the three listeners of a pod, all or none. They belong to the caller, who closes them with `closeListeners`: as
 * long as this process holds them, no waiting connection is lost when a worker dies.
 */
export function openListeners(
  io: ByteIo,
  namespace: NetworkNamespace,
  options: PodListenOptions,
): readonly PodListener[] {
  const opened: PodListener[] = []
  try {
    for (const role of ['inbound', 'inboundPassthrough', 'outbound'] as const) {
      const { fd, transparent } = listenTcp(namespace, {
        address: options.ipv6 ? '::' : '0.0.0.0',
        port: PROXY_PORTS[role],
        backlog: LISTEN_BACKLOG,
        mark: options.mark,
        reusePort: options.reusePort,
        transparent: options.originalSource,
        // Tunnels are kept alive by HTTP/2's PING, as Istio's are.
        keepAlive: role === 'inbound' ? undefined : options.keepAlive,
        userTimeoutMs: role === 'inbound' ? undefined : options.userTimeoutMs,
      })
      opened.push({ role, handle: io.adopt(fd), transparent })
    }
    return opened
  } catch (error) {
    closeListeners(opened)
    throw error
  }
}

export function closeListeners(listeners: readonly PodListener[]): void {
  for (const { handle } of listeners) handle.close()
}
