import {
  AF_INET,
  checked,
  libcClose,
  libcSetsockopt,
  libcSocket,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  SystemCallError,
} from './libc.ts'
import { NetworkNamespace } from './network-namespace.ts'

const SO_MARK = 36

/** Throws where this process may not do what capturing pods needs; the message names the capability. */
export function checkCapabilities(packetMark: number | undefined): void {
  try {
    const own = NetworkNamespace.open('/proc/thread-self/ns/net')
    try {
      own.run(() => undefined)
    } finally {
      own.close()
    }
  } catch (error) {
    throw missing('CAP_SYS_ADMIN', 'to enter the network namespaces of pods', error)
  }
  if (packetMark === undefined) return
  const fd = checked(libcSocket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket')
  try {
    const value = Buffer.alloc(4)
    value.writeUInt32LE(packetMark)
    checked(libcSetsockopt(fd, SOL_SOCKET, SO_MARK, value, 4), 'setsockopt(SO_MARK)')
  } catch (error) {
    throw missing('CAP_NET_ADMIN', 'to mark packets', error)
  } finally {
    libcClose(fd)
  }
}

function missing(capability: string, why: string, error: unknown): Error {
  const reason = error instanceof SystemCallError ? error.code : String(error)
  return new Error(`ztunnel needs ${capability} ${why} (${reason}): run it as root or give it the capability`, {
    cause: error,
  })
}
