import { createServer, Socket } from 'node:net'
import type {
  ByteIo,
  ConnectOptions,
  ListenHandle,
  SecureOptions,
  Secured,
  Splice,
  TcpEnd,
  TcpListener,
} from '../byte-io.ts'
import { BulkBudget } from '../bulk-budget.ts'
import type { PortOwner, TcpPort } from '../byte-port.ts'
import { closeWhenQuiet } from '../close-when-quiet.ts'
import { IoError } from '../io-error.ts'
import { PlainSplice } from '../plain-splice.ts'
import { SlabPool } from '../slab.ts'
import type { SocketNames } from '../socket-names.ts'
import { formatSocketAddress, type SocketAddress } from '../../ip/index.ts'
import { secureStream } from './stream-secure.ts'
import { StreamTcp } from './stream-tcp.ts'

const SLAB_BYTES = 262_144
const MAX_IDLE_SLABS = 16
const READ_BYTES = 65_536
const MAX_IDLE_READS = 32

/** The fallback: Node's public streams. */
export class StreamIo implements ByteIo {
  readonly name = 'stream'
  readonly slabs = new SlabPool(SLAB_BYTES, MAX_IDLE_SLABS)
  readonly readSlabs = new SlabPool(READ_BYTES, MAX_IDLE_READS)
  readonly bulkBudget = new BulkBudget()
  readonly #names: SocketNames | undefined

  constructor(names?: SocketNames) {
    this.#names = names
  }

  adopt(fd: number): ListenHandle {
    // Node opens a descriptor only as a socket; its handle is what can be sent to a child and listened on.
    const socket = new Socket({ fd, readable: false, writable: false })
    const handle: unknown = Reflect.get(socket, '_handle')
    if (typeof handle !== 'object' || handle === null) throw new IoError('other', `adopt descriptor ${fd}: no handle`)
    return handle as ListenHandle // a TCP handle has fd and close()
  }

  listen(handle: unknown, backlog: number, onAccept: (end: TcpEnd) => void): TcpListener {
    let accepted = 0
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      accepted++
      onAccept(new StreamTcp(socket, this.#names))
    })
    // Out of descriptors and the like: what waited was dropped, the listener goes on.
    server.on('error', () => {})
    server.listen(handle, backlog)
    let isClosing = false
    const closed = Promise.withResolvers<void>()
    const close = (): void => {
      server.close()
      closed.resolve()
    }
    return {
      closed: closed.promise,
      get accepted() {
        return accepted
      },
      close() {
        if (isClosing) return
        isClosing = true
        closeWhenQuiet(() => accepted, close, backlog)
      },
    }
  }

  connect(fd: number, to: SocketAddress, { timeoutMs, signal }: ConnectOptions): Promise<TcpEnd> {
    return new Promise((resolve, reject) => {
      const doing = `connect to ${formatSocketAddress(to)}`
      // pauseOnCreate (net.Server's own option) keeps it from reading before it is connected.
      const socket = new Socket({ fd, allowHalfOpen: true, noDelay: true, pauseOnCreate: true } as object)
      const settle = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        socket.removeListener('error', onError)
      }
      const fail = (error: IoError): void => {
        settle()
        socket.on('error', () => {})
        socket.destroy()
        reject(error)
      }
      const onError = (error: NodeJS.ErrnoException): void => fail(IoError.ofErrno(error.code ?? 'UNKNOWN', doing))
      const onAbort = (): void => fail(new IoError('aborted', `${doing}: aborted by the caller`))
      const timer = setTimeout(
        () => fail(new IoError('timeout', `${doing}: no answer within ${timeoutMs} ms`, { errno: 'ETIMEDOUT' })),
        timeoutMs,
      )
      if (signal?.aborted === true) return onAbort()
      signal?.addEventListener('abort', onAbort)
      socket.on('error', onError)
      socket.connect({ host: to.address, port: to.port }, () => {
        settle()
        resolve(new StreamTcp(socket, this.#names, to))
      })
    })
  }

  splice(a: TcpEnd, b: TcpEnd): Splice {
    const [left, right] = [own(a), own(b)]
    return new PlainSplice(
      this.bulkBudget,
      (owner) => left.attach(owner),
      (owner) => right.attach(owner),
    )
  }

  attach(end: TcpEnd, owner: PortOwner): TcpPort {
    return own(end).attach(owner)
  }

  secure<Peer>(end: TcpEnd, options: SecureOptions<Peer>): Promise<Secured<Peer>> {
    return secureStream(own(end), options)
  }
}

function own(end: TcpEnd): StreamTcp {
  if (!(end instanceof StreamTcp)) throw new IoError('other', 'this connection was made by another io')
  return end
}
