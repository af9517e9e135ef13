// Sockets for the tests of this room and of hbone: both implementations, loopback only, no fixed port.
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { familyOf } from '../ip/index.ts'
import type { ByteIo, TcpEnd, TcpListener } from './byte-io.ts'
import { HandleIo } from './handle/handle-io.ts'
import { loadBindings, type TcpHandle } from './handle/node-bindings.ts'
import { localOf } from './handle/read-address.ts'
import { StreamIo } from './stream/stream-io.ts'

const bindings = loadBindings()

/** A fresh one of each kind. */
export function bothIos(): ByteIo[] {
  return [new HandleIo(bindings), new StreamIo()]
}

/** What of Node's handle only tests need. */
interface BindableHandle extends TcpHandle {
  bind6(address: string, port: number): number
}

/** A bound TCP socket that does not listen yet. */
export function boundHandle(address = '127.0.0.1'): { handle: TcpHandle; port: number } {
  // Node's handle has it; where it had not, this would throw.
  const handle = bindings.newTcp('server') as BindableHandle
  const status = familyOf(address) === 6 ? handle.bind6(address, 0) : handle.bind(address, 0)
  const local = localOf(handle)
  if (status !== 0 || local === undefined) throw new Error(`bind ${address}: ${status}`)
  return { handle, port: local.port }
}

/** The descriptor of an unconnected IPv4 socket, such as socket(2) gives; whoever takes it owns it. */
export function unconnectedSocket(): number {
  return boundHandle().handle.fd
}

export interface Listening {
  readonly listener: TcpListener
  readonly port: number
  /** The next accepted connection, in order. */
  readonly next: () => Promise<TcpEnd>
}

export function listen(io: ByteIo, address?: string): Listening {
  const { handle, port } = boundHandle(address)
  const ends: TcpEnd[] = []
  const waiting: ((end: TcpEnd) => void)[] = []
  const listener = io.listen(handle, 512, (end) => {
    const wanted = waiting.shift()
    if (wanted === undefined) ends.push(end)
    else wanted(end)
  })
  const next = (): Promise<TcpEnd> => {
    const end = ends.shift()
    return end === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(end)
  }
  return { listener, port, next }
}

export function dial(io: ByteIo, port: number): Promise<TcpEnd> {
  return io.connect(unconnectedSocket(), { address: '127.0.0.1', port }, { timeoutMs: 5000 })
}

/** An outside program's connection: half-open, not reading yet. */
export async function client(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** One connection to a listener of `io`: the outside program's socket and the accepted end. */
export async function accepted(io: ByteIo): Promise<{ socket: Socket; end: TcpEnd }> {
  const { listener, port, next } = listen(io)
  const [socket, end] = await Promise.all([client(port), next()])
  listener.close()
  return { socket, end }
}

/** Writes `total` random bytes in random pieces with a pause now and then, and FIN. Resolves with their hash. */
export async function sendRandom(socket: Socket, total: number): Promise<string> {
  const hash = createHash('sha256')
  for (let left = total; left > 0;) {
    const piece = randomBytes(Math.min(left, randomInt(1, 200_000)))
    left -= piece.length
    hash.update(piece)
    if (!socket.write(piece)) await once(socket, 'drain')
    else if (randomInt(8) === 0) await turn()
  }
  socket.end()
  return hash.digest('hex')
}

/** Reads to the end, pausing now and then. Resolves with the hash; rejects when the connection breaks. */
export async function receiveAll(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer)
    if (randomInt(16) === 0) await turn()
  }
  return hash.digest('hex')
}

export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Waits, turn by turn, for a condition that some event of the loop will make true. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => {
      setTimeout(resolve, 1)
    })
  }
}
