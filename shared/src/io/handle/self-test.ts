import { createHash, randomBytes, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import type { TcpEnd } from '../byte-io.ts'
import type { PortOwner, SecureOwner, SecurePort, TcpPort } from '../byte-port.ts'
import { IoError, errnoName } from '../io-error.ts'
import { HeapSlab, type Slab } from '../slab.ts'
import { connectHandle } from './handle-connect.ts'
import { HandleListener } from './handle-listener.ts'
import type { HandleMemory } from './handle-memory.ts'
import { HandleSecure, socketOf } from './handle-secure.ts'
import { HandleTcp } from './handle-tcp.ts'
import type { TcpHandle } from './node-bindings.ts'
import { localOf } from './read-address.ts'

/** More than a socket buffer takes at once, so that pending writes, queues and many reads are tried too. */
const TEST_BYTES = 3_000_000

/** Nothing on loopback takes that long: the handles do not call back as expected. */
const PATIENCE_MS = 2000

/**
 * Proves the handles of this Node before traffic depends on them: random bytes go through a loopback connection and back, with
 * half-close, plain and within TLS, and their hashes are compared. Throws when anything differs. Some 10 ms.
 */
export async function proveHandles(memory: HandleMemory): Promise<void> {
  const { promise: patience, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('self-test: no progress on loopback')), PATIENCE_MS)
  try {
    await Promise.race([Promise.all([provePlain(memory), proveSecure(memory)]), patience])
  } finally {
    clearTimeout(timer)
  }
}

async function provePlain(memory: HandleMemory): Promise<void> {
  const [near, far] = await connectedPair(memory)
  const sent = randomBytes(TEST_BYTES)
  const echo = new PlainEcho()
  echo.port = far.attachToScratch(echo)
  const probe = new PlainProbe()
  const port = (probe.port = near.attachToRing(probe))
  port.write(new HeapSlab(sent), 0, sent.length)
  port.end()
  const received = await probe.digest.promise
  near.destroy()
  far.destroy()
  if (received !== digestOf(sent)) throw new Error('self-test: bytes differ')
}

async function proveSecure(memory: HandleMemory): Promise<void> {
  const [near, far] = await connectedPair(memory)
  // Anonymous key exchange (TLS 1.2): it is the record layer that is tried, and no certificate has to be made for it.
  const secureContext = createSecureContext({ ciphers: 'AECDH-AES128-SHA:@SECLEVEL=0', maxVersion: 'TLSv1.2' })
  const serverSocket = new TLSSocket(socketOf(far), { isServer: true, secureContext })
  const clientSocket = connect({ socket: socketOf(near), secureContext, rejectUnauthorized: false })
  await once(clientSocket, 'secureConnect')
  const [client, server] = [new HandleSecure(memory, near, clientSocket), new HandleSecure(memory, far, serverSocket)]
  const sent = randomBytes(4 * memory.slabs.size)
  const echo = new SecureEcho(server, sent.length)
  const probe = new SecureProbe(client, sent)
  server.start(echo)
  client.start(probe)
  probe.onWritten()
  const received = await probe.digest.promise
  client.destroy()
  server.destroy()
  if (received !== digestOf(sent)) throw new Error('self-test: decrypted bytes differ')
}

async function connectedPair(memory: HandleMemory): Promise<[HandleTcp, HandleTcp]> {
  const handle: TcpHandle = memory.bindings.newTcp('server')
  const accepted = Promise.withResolvers<TcpEnd>()
  const bound = handle.bind('127.0.0.1', 0)
  if (bound !== 0) throw IoError.ofErrno(errnoName(bound), 'self-test: bind')
  const listener = new HandleListener(memory, handle, 1, accepted.resolve)
  const address = localOf(handle)
  if (address === undefined) throw new Error('self-test: no address')
  const near = await connectHandle(memory, memory.bindings.newTcp('socket'), address, { timeoutMs: PATIENCE_MS })
  const far = await accepted.promise
  listener.close()
  return [near as HandleTcp, far as HandleTcp] // what these two functions make
}

class PlainEcho implements PortOwner {
  port: TcpPort | undefined

  onData(slab: Slab, start: number, end: number): void {
    const copy = Buffer.from(slab.bytes.subarray(start, end))
    this.port?.write(new HeapSlab(copy), 0, copy.length)
  }

  onEnd(): void {
    this.port?.end()
  }

  onTaken(): void {}

  onError(): void {}
}

class PlainProbe implements PortOwner {
  port: TcpPort | undefined
  readonly digest = Promise.withResolvers<string>()
  readonly #hash: Hash = createHash('sha256')

  onData(slab: Slab, start: number, end: number): void {
    this.#hash.update(slab.bytes.subarray(start, end))
  }

  onEnd(): void {
    this.digest.resolve(this.#hash.digest('hex'))
  }

  onTaken(): void {}

  onError(errno: string): void {
    this.digest.reject(IoError.ofErrno(errno, 'self-test'))
  }
}

/** Collects everything, then sends it back slab by slab. */
class SecureEcho implements SecureOwner {
  readonly #port: SecurePort
  readonly #bytes: Buffer
  #received = 0
  #sent = 0

  constructor(port: SecurePort, length: number) {
    this.#port = port
    this.#bytes = Buffer.alloc(length)
  }

  onBytes(slab: Slab, start: number, end: number): void {
    slab.bytes.copy(this.#bytes, this.#received, start, end)
    this.#received += end - start
    if (this.#received === this.#bytes.length) this.onWritten()
  }

  onWritten(): void {
    this.#sent = writeNext(this.#port, this.#bytes, this.#sent)
  }

  onClosed(): void {}
}

class SecureProbe implements SecureOwner {
  readonly digest = Promise.withResolvers<string>()
  readonly #port: SecurePort
  readonly #bytes: Buffer
  readonly #hash: Hash = createHash('sha256')
  #sent = 0
  #received = 0

  constructor(port: SecurePort, bytes: Buffer) {
    this.#port = port
    this.#bytes = bytes
  }

  onBytes(slab: Slab, start: number, end: number): void {
    this.#hash.update(slab.bytes.subarray(start, end))
    this.#received += end - start
    if (this.#received === this.#bytes.length) this.digest.resolve(this.#hash.digest('hex'))
  }

  onWritten(): void {
    this.#sent = writeNext(this.#port, this.#bytes, this.#sent)
  }

  onClosed(why: string | undefined): void {
    this.digest.reject(new Error(`self-test: TLS ended: ${why ?? 'orderly'}`))
  }
}

function writeNext(port: SecurePort, bytes: Buffer, from: number): number {
  const to = Math.min(from + 100_000, bytes.length)
  if (to > from) port.write(new HeapSlab(bytes), from, to)
  return to
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
