import { closeSync, openSync } from 'node:fs'
import {
  AF_INET,
  checked,
  CLONE_NEWNET,
  libcClose,
  libcSetns,
  libcSocket,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  SystemCallError,
} from './libc.ts'
import { OWN_NAMESPACE } from './network-namespace.ts'
import { setOption, SO_MARK } from './socket-option.ts'

interface Needs {
  /** false for a proxy of the namespace that it runs in. */
  readonly entersPods: boolean
  readonly packetMark: number | undefined
}

/** Throws where this process may not do what it has to; the message names the capability. */
export function checkCapabilities({ entersPods, packetMark }: Needs): void {
  if (entersPods) checkEntering()
  if (packetMark !== undefined) checkMarking(packetMark)
}

function checkEntering(): void {
  try {
    const own = openSync(OWN_NAMESPACE, 'r')
    try {
      checked(libcSetns(own, CLONE_NEWNET), 'setns')
    } finally {
      closeSync(own)
    }
  } catch (error) {
    throw missing('CAP_SYS_ADMIN', 'to enter the network namespaces of pods', error)
  }
}

function checkMarking(packetMark: number): void {
  const fd = checked(libcSocket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket')
  try {
    setOption(fd, SOL_SOCKET, SO_MARK, packetMark)
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
