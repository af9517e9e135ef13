/**
 * The part of Node's internal stream handles that the fast byte path uses. `process.binding` is deprecated and may go away:
 * whoever loads this checks it (`loadBindings` throws) and the start-up self-test proves it before any traffic depends on it.
 */

export interface StreamHandle {
  /** Data lands here from now on. Call once per handle (each call leaks a listener); later buffers are onread's return value. */
  useUserBuffer(buffer: Uint8Array): void
  onread: ((this: never) => Uint8Array | undefined) | null
  reading: boolean
  readStart(): number
  readStop(): number
  /** Tries at once; `state[lastWriteWasAsync]` tells whether libuv kept a pointer to the rest of `buffer`. */
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number
  shutdown(request: ShutdownRequest): number
  /** Bytes of the write under way that the kernel has not taken yet. */
  readonly writeQueueSize: number
  close(): void
}

export interface AddressOut {
  address?: string
  port?: number
}

export interface TcpHandle extends StreamHandle {
  readonly fd: number
  onconnection: ((status: number, client: TcpHandle | undefined) => void) | null
  open(fd: number): number
  bind(address: string, port: number): number
  listen(backlog: number): number
  connect(request: ConnectRequest, address: string, port: number): number
  connect6(request: ConnectRequest, address: string, port: number): number
  getsockname(out: AddressOut): number
  getpeername(out: AddressOut): number
  setNoDelay(on: boolean): number
  /** Closes with RST. Must not be called while a shutdown is under way: it fails, and the handle stays open for ever. */
  reset(): number
}

export interface WriteRequest {
  oncomplete: (this: never, status: number) => void
}
export interface ShutdownRequest {
  oncomplete: (status: number) => void
}
export interface ConnectRequest {
  oncomplete: (this: never, status: number) => void
}

export interface Bindings {
  readonly WriteWrap: new () => WriteRequest
  readonly ShutdownWrap: new () => ShutdownRequest
  readonly TCPConnectWrap: new () => ConnectRequest
  readonly newTcp: (type: 'socket' | 'server') => TcpHandle
  readonly isTcp: (value: unknown) => value is TcpHandle
  /** Written by every read and write; see the two indices. */
  readonly state: Int32Array
  readonly readBytesOrError: number
  readonly lastWriteWasAsync: number
}

/** Throws an Error that says what is missing when this Node does not have the handles in the expected shape. */
export function loadBindings(): Bindings {
  const load: unknown = Reflect.get(process, 'binding')
  if (typeof load !== 'function') throw new Error('process.binding does not exist')
  const binding = (name: string): object => {
    const found: unknown = Reflect.apply(load, process, [name])
    if (typeof found !== 'object' || found === null) throw new Error(`internal binding ${name} does not exist`)
    return found
  }
  const stream = binding('stream_wrap')
  const tcp = binding('tcp_wrap')
  const constants = get(tcp, 'constants', 'object') as object
  const TCP = get(tcp, 'TCP', 'function') as new (type: number) => TcpHandle
  const typeNumbers = {
    socket: get(constants, 'SOCKET', 'number') as number,
    server: get(constants, 'SERVER', 'number') as number,
  }
  // The prototype chain of a TCP handle carries every method used; checked here once so that the casts hold.
  const probe = new TCP(typeNumbers.socket)
  for (const method of [
    'useUserBuffer',
    'readStart',
    'readStop',
    'writeBuffer',
    'shutdown',
    'open',
    'listen',
    'connect',
    'connect6',
    'reset',
  ])
    get(probe, method, 'function')
  get(probe, 'writeQueueSize', 'number')
  probe.close()
  return {
    WriteWrap: get(stream, 'WriteWrap', 'function') as new () => WriteRequest,
    ShutdownWrap: get(stream, 'ShutdownWrap', 'function') as new () => ShutdownRequest,
    TCPConnectWrap: get(tcp, 'TCPConnectWrap', 'function') as new () => ConnectRequest,
    newTcp: (type) => new TCP(typeNumbers[type]),
    isTcp: (value): value is TcpHandle => value instanceof TCP,
    state: get(stream, 'streamBaseState', 'object') as Int32Array,
    readBytesOrError: get(stream, 'kReadBytesOrError', 'number') as number,
    lastWriteWasAsync: get(stream, 'kLastWriteWasAsync', 'number') as number,
  }
}

function get(from: object, name: string, type: 'function' | 'number' | 'object'): object | number {
  const found: unknown = Reflect.get(from, name)
  if (typeof found !== type || found === null) throw new Error(`internal ${name} is no ${type}`)
  return found as object | number // proven by the line above
}
