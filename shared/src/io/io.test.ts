import { readdirSync } from 'node:fs'
import { fork, type SendHandle } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { silentLog } from '../log/index.ts'
import type { ByteIo, Splice } from './byte-io.ts'
import { HandleTcp } from './handle/handle-tcp.ts'
import {
  BURST_BYTES,
  ByteQueue,
  HEADROOM_BYTES,
  HeapSlab,
  IoError,
  selectIo,
  SlabPool,
  SMALL_BURST_BYTES,
} from './index.ts'
import { ReceiveRing } from './handle/receive-ring.ts'
import {
  accepted,
  bothIos,
  boundHandle,
  client,
  dial,
  eventually,
  listen,
  receiveAll,
  sendRandom,
  turn,
  unconnectedSocket,
} from './io-fixture.ts'

const MIB = 1_048_576

/** Two outside programs, joined by a splice: one on its A side, one on its B side. */
async function joined(io: ByteIo): Promise<{ a: Socket; b: Socket; splice: Splice }> {
  const [left, right] = await Promise.all([accepted(io), accepted(io)])
  return { a: left.socket, b: right.socket, splice: io.splice(left.end, right.end) }
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

for (const io of bothIos()) {
  const test = (name: string, body: (t: Test) => Promise<void>): void => void t.test(`${io.name}: ${name}`, body)

  test('carries bytes exactly, both ways at once, and counts them', async (t) => {
    const pairs = await Promise.all(Array.from({ length: 6 }, () => joined(io)))
    await Promise.all(
      pairs.map(async ({ a, b, splice }) => {
        const [sentA, sentB, gotA, gotB] = await Promise.all([
          sendRandom(a, 4 * MIB),
          sendRandom(b, 3 * MIB),
          receiveAll(a),
          receiveAll(b),
        ])
        t.equal(gotB, sentA)
        t.equal(gotA, sentB)
        await splice.finished
        t.equal(splice.bytesAtoB, 4 * MIB)
        t.equal(splice.bytesBtoA, 3 * MIB)
      }),
    )
  })

  test('an end and a reset in one turn leave no descriptor behind', async (t) => {
    const before = descriptors()
    for (let i = 0; i < 5; i++) {
      const { socket, end } = await accepted(io)
      const lost = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve))
      const port = io.attach(end, { onData: () => {}, onEnd: () => {}, onTaken: () => {}, onError: () => {} })
      port.end()
      port.close(true)
      socket.resume().end()
      await lost
    }
    await eventually(() => descriptors() <= before, 'all descriptors are closed')
    t.pass()
  })

  test('passes the end of one direction on and keeps the other open', async (t) => {
    for (const first of ['a', 'b'] as const) {
      const { a, b, splice } = await joined(io)
      const [early, late] = first === 'a' ? [a, b] : [b, a]
      early.end('last words')
      t.equal(String(await readAll(late)), 'last words')
      late.write('answer')
      t.equal(String(await readSome(early)), 'answer')
      late.end()
      t.equal((await readAll(early)).length, 0)
      await splice.finished
    }
  })

  test('turns a reset into an orderly end for the other side', async (t) => {
    for (const first of ['a', 'b'] as const) {
      const { a, b, splice } = await joined(io)
      const [lost, other] = first === 'a' ? [a, b] : [b, a]
      lost.write('before')
      t.equal(String(await readSome(other)), 'before')
      lost.resetAndDestroy()
      t.equal((await readAll(other)).length, 0, 'FIN, not RST')
      await splice.finished
      other.destroy()
    }
  })

  test('stops reading when the other side does not take it, and loses nothing', async (t) => {
    const { a, b, splice } = await joined(io)
    const total = 48 * MIB
    const sent = sendRandom(a, total)
    let before = -1
    // The kernel's socket buffers fill up (some MB each); then nothing moves any more.
    for (let still = 0; still < 20;) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
      still = splice.bytesAtoB === before ? still + 1 : 0
      before = splice.bytesAtoB
    }
    t.ok(before < total, `${before} of ${total} bytes were read`)
    const got = receiveAll(b)
    t.equal(await got, await sent)
    b.end()
    a.resume()
    await splice.finished
  })

  test('aborts a splice', async (t) => {
    const { a, b, splice } = await joined(io)
    splice.abort()
    splice.abort()
    await t.rejects(splice.finished, { code: 'aborted' })
    for (const socket of [a, b]) {
      socket.resume()
      socket.on('error', () => {})
      socket.end()
      await once(socket, 'close')
    }
  })

  test('says why a connection was not made', async (t) => {
    const { handle, port } = boundHandle()
    handle.close()
    const to = { address: '127.0.0.1', port }
    await t.rejects(io.connect(unconnectedSocket(), to, { timeoutMs: 5000 }), {
      code: 'refused',
      errno: 'ECONNREFUSED',
    })
    await t.rejects(io.connect(unconnectedSocket(), to, { timeoutMs: 5000, signal: AbortSignal.abort() }), {
      code: 'aborted',
    })
  })

  test('tells addresses in canonical form, and the descriptor until it is closed', async (t) => {
    const { listener, port, next } = listen(io, '::')
    const [socket, end] = await Promise.all([client(port), next()])
    t.same(end.remote, { address: '127.0.0.1', port: socket.localPort })
    t.same(end.local, { address: '127.0.0.1', port })
    t.ok(end.fd > 2)
    end.destroy()
    end.destroy(true)
    t.equal(end.fd, -1)
    socket.resume()
    await once(socket, 'end')
    socket.destroy()
    const near = dial(io, port)
    const far = await next()
    t.same((await near).remote, { address: '127.0.0.1', port })
    t.same((await near).local, far.remote)
    far.destroy(true)
    ;(await near).destroy()
    listener.close()
  })

  test('accepts what waits in the queue when the listener is closed', async (t) => {
    const { listener, port, next } = listen(io)
    // The kernel completes these handshakes at once; the loop has not accepted any of them.
    const sockets = Array.from({ length: 20 }, () => dial(io, port))
    listener.close()
    listener.close()
    for (const socket of sockets) (await socket).destroy()
    await eventually(() => listener.accepted === 20, 'all are accepted')
    for (let ends = 0; ends < 20; ends++) (await next()).destroy()
    for (let turns = 0; turns < 8; turns++) await turn()
    await t.rejects(dial(io, port), { code: 'refused' })
  })

  test('listens in a child process on a socket that this process opened', async (t) => {
    const bound = boundHandle()
    const handle = io.adopt(bound.handle.fd)
    t.ok(handle.fd > 2)
    const child = fork(fileURLToPath(new URL('listening-child-fixture.ts', import.meta.url)), [io.name])
    // A raw TCP handle: Node passes it on, its types do not name it.
    child.send('listen', handle as unknown as SendHandle, { keepOpen: true })
    await once(child, 'message')
    const first = await client(bound.port)
    t.equal(String(await readAll(first)), 'child')
    // Stopped: the kernel fills the queue, which has room for two, and answers no further SYN.
    child.kill('SIGSTOP')
    const waiting = await Promise.all([client(bound.port), client(bound.port)])
    const to = { address: '127.0.0.1', port: bound.port }
    await t.rejects(io.connect(unconnectedSocket(), to, { timeoutMs: 20 }), { code: 'timeout', errno: 'ETIMEDOUT' })
    const abort = new AbortController()
    const aborted = io.connect(unconnectedSocket(), to, { timeoutMs: 5000, signal: abort.signal })
    setImmediate(() => abort.abort())
    await t.rejects(aborted, { code: 'aborted' })
    // Killed: the socket is still ours, and what waits is for the next child.
    child.kill('SIGKILL')
    await once(child, 'exit')
    const next = fork(fileURLToPath(new URL('listening-child-fixture.ts', import.meta.url)), [io.name])
    next.send('listen', handle as unknown as SendHandle, { keepOpen: true })
    for (const socket of waiting) t.equal(String(await readAll(socket)), 'child')
    next.kill('SIGKILL')
    await once(next, 'exit')
    for (const socket of [first, ...waiting]) socket.destroy()
    handle.close()
  })

  test('refuses what it did not make', async (t) => {
    t.throws(() => io.listen({}, 1, () => {}), Error)
    const other = bothIos().find((candidate) => candidate.name !== io.name)
    const { socket, end } = await accepted(io)
    if (other !== undefined) t.throws(() => other.splice(end, end), IoError)
    end.destroy()
    socket.destroy()
  })
}

void t.test('the fast implementation is chosen where it proves itself, and the other where asked for', async (t) => {
  t.equal((await selectIo({ log: silentLog, prefer: 'handle' })).name, 'handle')
  t.equal((await selectIo({ log: silentLog, prefer: 'stream' })).name, 'stream')
})

void t.test('handles that do not do what is expected are noticed', async (t) => {
  const warnings: string[] = []
  const original = Object.getOwnPropertyDescriptor(HandleTcp.prototype, 'write')
  t.teardown(() => Object.defineProperty(HandleTcp.prototype, 'write', original ?? {}))
  // As if bytes were changed on the way.
  HandleTcp.prototype.write = function (slab, start, end) {
    return Reflect.apply(original?.value, this, [new HeapSlab(Buffer.alloc(slab.bytes.length)), start, end])
  }
  const io = await selectIo({ log: { ...silentLog, warn: (text) => warnings.push(text) }, prefer: 'handle' })
  t.equal(io.name, 'stream')
  t.match(warnings, [/bytes differ/])
})

void t.test('a byte queue gives back what was appended, in chunks that do not waste memory', async (t) => {
  const queue = new ByteQueue()
  const pieces: Buffer[] = []
  for (let i = 0; i < 3000; i++) {
    const piece = Buffer.alloc((i * 7) % 400, i)
    pieces.push(piece)
    queue.append(piece, 0, piece.length)
  }
  const sent = Buffer.concat(pieces)
  t.equal(queue.length, sent.length)
  const chunks: Buffer[] = []
  for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) chunks.push(chunk)
  t.ok(Buffer.concat(chunks).equals(sent))
  t.ok(chunks.length < 30, `${chunks.length} chunks`)
  t.equal(queue.length, 0)
})

void t.test('in small bursts less is read at a time, until it is told otherwise', async (t) => {
  const io = bothIos()[0] as ByteIo
  const { listener, port, next } = listen(io)
  const socket = await client(port)
  const reads: number[] = []
  const app = io.attach(await next(), {
    onData: (_slab, start, end) => void reads.push(end - start),
    onEnd: () => {},
    onTaken: () => {},
    onError: () => {},
  })
  const readAtOnce = async (inSmallBursts?: boolean): Promise<number> => {
    app.pause()
    reads.length = 0
    socket.write(Buffer.alloc(MIB))
    for (let i = 0; i < 20; i++) await turn()
    app.resume(inSmallBursts)
    await eventually(() => reads.reduce((sum, bytes) => sum + bytes, 0) === MIB, 'all of it')
    return Math.max(...reads)
  }
  t.equal(await readAtOnce(true), SMALL_BURST_BYTES - HEADROOM_BYTES)
  t.equal(await readAtOnce(), BURST_BYTES - HEADROOM_BYTES)
  app.close()
  socket.destroy()
  listener.close()
  await listener.closed
})

void t.test('a receive ring moves to large memory under load and back when it is quiet', async (t) => {
  const [small, large] = [new SlabPool(16, 4), new SlabPool(64, 4)]
  const ring = new ReceiveRing(small, large, 16)
  t.equal(ring.advance(5), undefined, 'a short read changes nothing')
  t.equal(ring.advance(16)?.length, 16, 'a full one asks for more')
  t.same([small.lent, large.lent], [0, 1])
  const kept = ring.slab
  kept.retain()
  ring.advance(16)
  t.equal(ring.start, 16, 'what is kept is not written over')
  ring.advance(16)
  ring.advance(16)
  ring.advance(16)
  t.not(ring.slab, kept)
  kept.release()
  ring.advance(3)
  t.same([small.lent, large.lent], [1, 0])
  ring.release()
  t.same([small.lent, large.lent], [0, 0])
})

void t.test('a receive ring stays where it is between bursts that do not end with a full read', async (t) => {
  const [small, large] = [new SlabPool(16, 4), new SlabPool(64, 4)]
  const ring = new ReceiveRing(small, large, 16, 4)
  ring.advance(16)
  ring.advance(10)
  t.same([small.lent, large.lent], [0, 1])
  ring.advance(3)
  t.same([small.lent, large.lent], [1, 0], 'a short one means quiet')
  ring.release()
})

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function readSome(socket: Socket): Promise<Buffer> {
  for (;;) {
    const chunk: unknown = socket.read()
    if (chunk instanceof Buffer) return chunk
    await once(socket, 'readable')
  }
}
