import type { ConnectOptions, TcpEnd } from '../byte-io.ts'
import { IoError, errnoName } from '../io-error.ts'
import { familyOf, formatSocketAddress, type SocketAddress } from '../../ip/index.ts'
import type { HandleMemory } from './handle-memory.ts'
import { HandleTcp } from './handle-tcp.ts'
import type { ConnectRequest, TcpHandle } from './node-bindings.ts'

interface DialRequest extends ConnectRequest {
  dial?: Dial
}

/** Connects a raw handle, which it owns from the call on: one that was opened on a socket, or a new one. */
export function connectHandle(
  memory: HandleMemory,
  handle: TcpHandle,
  to: SocketAddress,
  options: ConnectOptions,
): Promise<TcpEnd> {
  return new Dial(memory, handle, to, options).end
}

/** One connect under way. An object, not six closures: those were made anew, and run unoptimised, for every connection. */
class Dial {
  readonly #memory: HandleMemory
  readonly #handle: TcpHandle
  readonly #to: SocketAddress
  readonly #options: ConnectOptions
  readonly #promise = Promise.withResolvers<TcpEnd>()
  readonly #onAbort = (): void => this.#fail('aborted', 'aborted by the caller')
  #timer: NodeJS.Timeout | undefined
  #isSettled = false

  constructor(memory: HandleMemory, handle: TcpHandle, to: SocketAddress, options: ConnectOptions) {
    this.#memory = memory
    this.#handle = handle
    this.#to = to
    this.#options = options
    if (options.signal?.aborted === true) this.#onAbort()
    else this.#begin()
  }

  get end(): Promise<TcpEnd> {
    return this.#promise.promise
  }

  static onComplete(dial: Dial, status: number): void {
    if (status !== 0) dial.#failWith(IoError.ofErrno(errnoName(status), dial.#doing))
    else if (dial.#settle()) {
      dial.#handle.setNoDelay(true)
      dial.#promise.resolve(new HandleTcp(dial.#memory, dial.#handle, dial.#to))
    }
  }

  static onTimeout(dial: Dial): void {
    dial.#fail('timeout', `no answer within ${dial.#options.timeoutMs} ms`, 'ETIMEDOUT')
  }

  get #doing(): string {
    return `connect to ${formatSocketAddress(this.#to)}`
  }

  #begin(): void {
    const { address, port } = this.#to
    const request: DialRequest = new this.#memory.bindings.TCPConnectWrap()
    request.dial = this
    request.oncomplete = onComplete
    const begun =
      familyOf(address) === 6
        ? this.#handle.connect6(request, address, port)
        : this.#handle.connect(request, address, port)
    if (begun !== 0) {
      this.#failWith(IoError.ofErrno(errnoName(begun), this.#doing))
      return
    }
    this.#timer = setTimeout(onTimeout, this.#options.timeoutMs, this)
    this.#options.signal?.addEventListener('abort', this.#onAbort)
  }

  #fail(code: 'aborted' | 'timeout', why: string, errno?: string): void {
    this.#failWith(new IoError(code, `${this.#doing}: ${why}`, errno === undefined ? {} : { errno }))
  }

  #failWith(error: IoError): void {
    if (!this.#settle()) return
    this.#handle.close()
    this.#promise.reject(error)
  }

  #settle(): boolean {
    if (this.#isSettled) return false
    this.#isSettled = true
    clearTimeout(this.#timer)
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    return true
  }
}

function onComplete(this: DialRequest, status: number): void {
  if (this.dial !== undefined) Dial.onComplete(this.dial, status)
}

const onTimeout = (dial: Dial): void => Dial.onTimeout(dial)
