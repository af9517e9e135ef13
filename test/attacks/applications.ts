import { once } from 'node:events'
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import type { ByteIo, TcpEnd, TcpListener } from '@ambit/shared/io'

/** What an application does with a connection: `echo` sends back, `pump` sends without end, `deaf` reads nothing. */
export type Behaviour = 'echo' | 'pump' | 'deaf'

/**
 * TCP connections of which one end belongs to the code under test (a TcpEnd) and the other to a test: an application, or
 * a way to any port. No descriptor is made by hand: an io accepts what the test's own sockets connect.
 */
export class Applications {
  /** Connections made for the code under test. */
  dials = 0
  readonly sockets = new Set<Socket>()
  readonly #listener: TcpListener
  readonly #port: number
  /** By the port of the test's socket; either side may come first. */
  readonly #accepted = new Map<number, PromiseWithResolvers<TcpEnd>>()

  private constructor(io: ByteIo, server: Server) {
    this.#port = (server.address() as AddressInfo).port // a TCP server that listens has one
    this.#listener = listenWith(io, server, (end) => {
      this.#acceptedFrom(end.remote.port).resolve(end)
    })
  }

  static async start(io: ByteIo): Promise<Applications> {
    return new Applications(io, await loopbackServer())
  }

  /** A connection to an application. */
  async dial(behaviour: Behaviour): Promise<TcpEnd> {
    this.dials++
    const { end, socket } = await this.pair()
    if (behaviour === 'echo') socket.pipe(socket)
    if (behaviour === 'pump') pump(socket)
    return end
  }

  /** A connection whose far end is a plain socket. */
  async pair(): Promise<{ end: TcpEnd; socket: Socket }> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.sockets.add(socket)
    socket.on('error', () => {}).once('close', () => this.sockets.delete(socket))
    await once(socket, 'connect')
    const { localPort = 0 } = socket
    const end = await this.#acceptedFrom(localPort).promise
    this.#accepted.delete(localPort)
    return { end, socket }
  }

  /** A connection to a port of this machine, through a relay. */
  async dialPort(port: number): Promise<TcpEnd> {
    const { end, socket } = await this.pair()
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.sockets.add(far)
    far.once('close', () => this.sockets.delete(far))
    far.on('error', () => socket.destroy())
    socket.once('close', () => far.destroy())
    far.once('close', () => socket.destroy())
    socket.pipe(far).pipe(socket)
    return end
  }

  #acceptedFrom(port: number): PromiseWithResolvers<TcpEnd> {
    const known = this.#accepted.get(port)
    if (known) return known
    const made = Promise.withResolvers<TcpEnd>()
    this.#accepted.set(port, made)
    return made
  }

  close(): void {
    this.#listener.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

/** A server socket on a free port of loopback, whose connections an io will accept. */
export async function loopbackServer(): Promise<Server> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

/** Listens with `io` on the handle of a server that is bound already; the handle belongs to the io from here on. */
export function listenWith(io: ByteIo, server: Server, onAccept: (end: TcpEnd) => void): TcpListener {
  return io.listen(Reflect.get(server, '_handle'), 512, onAccept)
}

function pump(socket: Socket): void {
  const chunk = Buffer.alloc(65_536, 'p')
  const more = (): void => {
    while (!socket.destroyed && socket.writable && socket.write(chunk));
  }
  socket.on('drain', more)
  socket.resume()
  more()
}
