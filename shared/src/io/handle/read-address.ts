import type { SocketNames } from '../socket-names.ts'
import { canonicalAddress, type SocketAddress } from '../../ip/index.ts'
import type { AddressOut, TcpHandle } from './node-bindings.ts'

/** The peer's address of a connected handle; undefined where the connection is gone. */
export function remoteOf(handle: TcpHandle, names?: SocketNames): SocketAddress | undefined {
  return read(
    (out) => handle.getpeername(out),
    () => names?.remote(handle.fd),
  )
}

/** A handle's own address; undefined where the connection is gone. */
export function localOf(handle: TcpHandle, names?: SocketNames): SocketAddress | undefined {
  return read(
    (out) => handle.getsockname(out),
    () => names?.local(handle.fd),
  )
}

function read(
  call: (out: AddressOut) => number,
  otherwise: () => SocketAddress | undefined,
): SocketAddress | undefined {
  const out: AddressOut = {}
  try {
    if (call(out) !== 0 || out.address === undefined || out.port === undefined) return undefined
  } catch {
    // See SocketNames.
    return otherwise()
  }
  return { address: canonicalAddress(out.address), port: out.port }
}
