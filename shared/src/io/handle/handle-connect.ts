import type { ConnectOptions, TcpEnd } from '../byte-io.ts'
import { IoError, errnoName } from '../io-error.ts'
import { formatSocketAddress, type SocketAddress } from '../socket-address.ts'
import type { HandleMemory } from './handle-memory.ts'
import { HandleTcp } from './handle-tcp.ts'
import type { TcpHandle } from './node-bindings.ts'

/** Connects a raw handle, which it owns from the call on: one that was opened on a socket, or a new one. */
export function connectHandle(
  memory: HandleMemory,
  handle: TcpHandle,
  to: SocketAddress,
  { timeoutMs, signal }: ConnectOptions,
): Promise<TcpEnd> {
  return new Promise((resolve, reject) => {
    const { bindings } = memory
    const doing = `connect to ${formatSocketAddress(to)}`
    let isSettled = false
    let timer: NodeJS.Timeout | undefined
    const settle = (): boolean => {
      if (isSettled) return false
      isSettled = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      return true
    }
    const fail = (error: IoError): void => {
      if (!settle()) return
      handle.close()
      reject(error)
    }
    const onAbort = (): void => fail(new IoError('aborted', `${doing}: aborted by the caller`))

    if (signal?.aborted === true) return onAbort()
    const request = new bindings.TCPConnectWrap()
    request.oncomplete = (status) => {
      if (status !== 0) fail(IoError.ofErrno(errnoName(status), doing))
      else if (settle()) {
        handle.setNoDelay(true)
        resolve(new HandleTcp(memory, handle, to))
      }
    }
    const begun = to.address.includes(':')
      ? handle.connect6(request, to.address, to.port)
      : handle.connect(request, to.address, to.port)
    if (begun !== 0) return fail(IoError.ofErrno(errnoName(begun), doing))
    timer = setTimeout(
      () => fail(new IoError('timeout', `${doing}: no answer within ${timeoutMs} ms`, { errno: 'ETIMEDOUT' })),
      timeoutMs,
    )
    signal?.addEventListener('abort', onAbort)
  })
}
