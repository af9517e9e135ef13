import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { CLIENT, SERVER } from '../certificates/certificate-fixture.ts'
import { accepted, bothIos, eventually, turn } from '../io/io-fixture.ts'
import type { OutgoingTunnel } from './client-connection.ts'
import { connectionPair, endOf, exchange, openTunnel, pingsAnswered } from './tunnel-fixture.ts'

for (const io of bothIos()) {
  const test = (name: string, body: (t: Test) => Promise<void>): void => void t.test(`${io.name}: ${name}`, body)

  test('opens a tunnel, tells both ends who and what, and carries bytes', async (t) => {
    const pair = await connectionPair(io)
    const { client, server } = pair
    t.equal(String(server.peer), String(CLIENT))
    t.equal(String(client.peer), String(SERVER))
    const opening = client.open({
      authority: '[fd00::1]:80',
      headers: [
        ['baggage', 'k=v'],
        ['x', '1'],
        ['x', '2'],
      ],
    })
    const incoming = await pair.nextTunnel()
    t.equal(incoming.method, 'CONNECT')
    t.equal(incoming.authority, '[fd00::1]:80')
    t.equal(incoming.header('baggage'), 'k=v')
    t.same(incoming.headers('x'), ['1', '2'])
    t.equal(incoming.connection, server)
    const [near, far] = await Promise.all([accepted(io), accepted(io)])
    const farSplice = incoming.accept([['baggage', 'far']], far.end)
    const tunnel = await opening
    t.equal(client.activeStreams, 1)
    const nearSplice = tunnel.splice(near.end)
    near.socket.write('question')
    t.equal(String(await readSome(far.socket)), 'question')
    far.socket.end('answer')
    t.equal(String(await readAll(near.socket)), 'answer')
    near.socket.end()
    t.equal((await readAll(far.socket)).length, 0)
    await Promise.all([nearSplice.finished, farSplice.finished])
    t.same([nearSplice.bytesAtoB, nearSplice.bytesBtoA], [8, 6], 'A is the application')
    t.same([farSplice.bytesAtoB, farSplice.bytesBtoA], [8, 6], 'A is the tunnel')
    await endOf(t, io, pair)
  })

  test('keeps each direction open until it ends by itself', async (t) => {
    const pair = await connectionPair(io)
    for (const first of ['near', 'far'] as const) {
      const tunnel = await openTunnel(io, pair)
      const [early, late] = first === 'near' ? [tunnel.near, tunnel.far] : [tunnel.far, tunnel.near]
      early.end('last words')
      t.equal(String(await readAll(late)), 'last words')
      late.write('still here')
      t.equal(String(await readSome(early)), 'still here')
      late.end()
      t.equal((await readAll(early)).length, 0)
      await Promise.all([tunnel.nearSplice.finished, tunnel.farSplice.finished])
    }
    await endOf(t, io, pair)
  })

  test('shows the reset of an application as an orderly end to the other', async (t) => {
    const pair = await connectionPair(io)
    for (const first of ['near', 'far'] as const) {
      const tunnel = await openTunnel(io, pair)
      const [lost, other] = first === 'near' ? [tunnel.near, tunnel.far] : [tunnel.far, tunnel.near]
      const [lostSplice, otherSplice] =
        first === 'near' ? [tunnel.nearSplice, tunnel.farSplice] : [tunnel.farSplice, tunnel.nearSplice]
      lost.write('before')
      t.equal(String(await readSome(other)), 'before')
      lost.resetAndDestroy()
      t.equal((await readAll(other)).length, 0, 'FIN')
      await lostSplice.finished
      // What it still says is for nobody: the stream is reset, which counts as an end too.
      other.on('error', () => {})
      other.write('more')
      await otherSplice.finished
      other.destroy()
    }
    t.equal(pair.client.activeStreams, 0)
    await endOf(t, io, pair)
  })

  test('a stream whose application is gone is given up after a while', async (t) => {
    const pair = await connectionPair(io)
    const tunnel = await openTunnel(io, pair)
    tunnel.near.resetAndDestroy()
    await tunnel.nearSplice.finished
    t.equal(pair.client.activeStreams, 1, 'the far application has not ended')
    for (let i = 0; i < 3; i++) {
      await pingsAnswered(pair)
    }
    await tunnel.farSplice.finished
    t.equal(pair.client.activeStreams, 0)
    tunnel.far.destroy()
    await endOf(t, io, pair)
  })

  test('ends both sides of a tunnel that is aborted', async (t) => {
    const pair = await connectionPair(io)
    const tunnel = await openTunnel(io, pair)
    const ended = [readAll(tunnel.near), readAll(tunnel.far)]
    tunnel.farSplice.abort()
    await t.rejects(tunnel.farSplice.finished, { code: 'aborted' })
    await tunnel.nearSplice.finished
    t.same(
      (await Promise.all(ended)).map((bytes) => bytes.length),
      [0, 0],
    )
    tunnel.near.destroy()
    tunnel.far.destroy()
    await endOf(t, io, pair)
  })

  test('resets the applications when the connection is lost', async (t) => {
    const pair = await connectionPair(io)
    const tunnel = await openTunnel(io, pair)
    const lost = Promise.all([once(tunnel.near, 'error'), once(tunnel.far, 'close')])
    tunnel.near.resume()
    tunnel.far.resume().on('end', () => tunnel.far.end())
    pair.server.destroy()
    await t.rejects(tunnel.farSplice.finished, { code: 'aborted' })
    await t.rejects(tunnel.nearSplice.finished, { code: 'h2' })
    t.match(await lost, [[{ code: 'ECONNRESET' }], []])
    await t.rejects(pair.client.open({ authority: 'a:1', headers: [] }), { code: 'h2', unprocessed: true })
    await endOf(t, io, pair)
  })

  test('a refusal has a status and leaves the connection as it was', async (t) => {
    const pair = await connectionPair(io)
    for (const [status, text] of [
      [401, 'Unauthorized'],
      [503, 'Service Unavailable'],
    ] as const) {
      const opening = pair.client.open({ authority: 'a:1', headers: [] })
      const incoming = await pair.nextTunnel()
      incoming.reject(status)
      incoming.reject(400)
      incoming.reset()
      // As Istio's ztunnel says it, for the access log.
      await t.rejects(opening, { code: 'status', status, message: `http status: ${status} ${text}` })
    }
    const opening = pair.client.open({ authority: 'a:1', headers: [] })
    ;(await pair.nextTunnel()).reset()
    await t.rejects(opening, { code: 'h2' })
    const tunnel = await openTunnel(io, pair)
    await exchange(t, tunnel.near, tunnel.far)
    await endOf(t, io, pair)
  })

  test('a caller that gives up is noticed by the server', async (t) => {
    const pair = await connectionPair(io)
    const abort = new AbortController()
    const opening = pair.client.open({ authority: 'a:1', headers: [], signal: abort.signal })
    const incoming = await pair.nextTunnel()
    t.notOk(incoming.aborted.aborted)
    abort.abort()
    await t.rejects(opening, { code: 'aborted' })
    await eventually(() => incoming.aborted.aborted, 'the server has learnt it')
    const app = await accepted(io)
    await t.rejects(incoming.accept([], app.end).finished, { code: 'h2' })
    app.socket.destroy()
    t.equal(pair.client.activeStreams, 0)
    await endOf(t, io, pair)
  })

  test('an answer that cannot be said in HTTP/2 closes the application, and the tunnel can be refused', async (t) => {
    const pair = await connectionPair(io)
    const opening = pair.client.open({ authority: 'a:1', headers: [] })
    const incoming = await pair.nextTunnel()
    const app = await accepted(io)
    const closed = new Promise((resolve) => app.socket.once('close', resolve))
    app.socket.on('error', () => {})
    t.throws(() => incoming.accept([['baggage', 'サーバー']], app.end), { code: 'h2' })
    await closed
    incoming.reject(503)
    await t.rejects(opening, { code: 'status', status: 503 })
    await endOf(t, io, pair)
  })

  test('a CONNECT is answered once: later answers change nothing, and close the application that they bring', async (t) => {
    const pair = await connectionPair(io)
    const opening = pair.client.open({ authority: 'a:1', headers: [] })
    const incoming = await pair.nextTunnel()
    const [near, far, late] = await Promise.all([accepted(io), accepted(io), accepted(io)])
    const farSplice = incoming.accept([], far.end)
    const closed = once(late.socket, 'error')
    t.throws(() => incoming.accept([], late.end), { code: 'aborted' })
    t.match(await closed, [{ code: 'ECONNRESET' }])
    incoming.reject(503)
    incoming.reset()
    const nearSplice = (await opening).splice(near.end)
    await exchange(t, near.socket, far.socket)
    await Promise.all([nearSplice.finished, farSplice.finished])

    const refused = pair.client.open({ authority: 'a:1', headers: [] })
    const second = await pair.nextTunnel()
    second.reject(503)
    second.reject(401)
    await t.rejects(refused, { code: 'status', status: 503 })
    await endOf(t, io, pair)
  })

  test('a tunnel that is in use or was reset closes another application that it is to be joined with', async (t) => {
    const pair = await connectionPair(io)
    for (const isInUse of [true, false]) {
      const opening = pair.client.open({ authority: 'a:1', headers: [] })
      const incoming = await pair.nextTunnel()
      const [near, far, late] = await Promise.all([accepted(io), accepted(io), accepted(io)])
      const { finished: farFinished } = incoming.accept([], far.end)
      const tunnel = await opening
      if (!isInUse) tunnel.reset()
      const finished = isInUse ? tunnel.splice(near.end).finished : farFinished
      const closed = once(late.socket, 'error')
      await t.rejects(tunnel.splice(late.end).finished, { code: 'aborted' })
      t.match(await closed, [{ code: 'ECONNRESET' }])
      tunnel.reset()
      await Promise.all([finished, farFinished])
      if (!isInUse) near.end.destroy()
      for (const { socket } of [near, far]) socket.destroy()
    }
    await endOf(t, io, pair)
  })

  test('a CONNECT that is not answered is reset in time by any wall clock, a later one has its own', async (t) => {
    const pair = await connectionPair(io)
    const open = (): Promise<OutgoingTunnel> => pair.client.open({ authority: 'a:1', headers: [] })
    const outcomes: string[] = []
    void open().catch(({ code }: { code: string }) => outcomes.push(code))
    const first = await pair.nextTunnel()
    pair.clock.stepWallClock(3_600_000)
    await pingsAnswered(pair)
    await pingsAnswered(pair)
    t.same(outcomes, [], 'it is waited for')
    pair.clock.stepWallClock(-7_200_000)
    const second = open()
    const incoming = await pair.nextTunnel()
    await pingsAnswered(pair)
    t.same(outcomes, ['answer-timeout'])
    await eventually(() => first.aborted.aborted, 'the server has learnt it')
    t.equal(pair.client.activeStreams, 1)
    const app = await accepted(io)
    incoming.accept([], app.end)
    const tunnel = await second
    for (let i = 0; i < 3; i++) await pingsAnswered(pair)
    t.equal(pair.client.activeStreams, 1, 'one that was answered stays')
    tunnel.reset()
    app.socket.destroy()
    await endOf(t, io, pair)
  })

  test('keeps what arrives before the application is there, and puts the prelude first', async (t) => {
    const pair = await connectionPair(io)
    const opening = pair.client.open({ authority: 'a:1', headers: [] })
    const incoming = await pair.nextTunnel()
    const [near, far] = await Promise.all([accepted(io), accepted(io)])
    // The server's application speaks first, and has ended before the client's is joined.
    far.socket.end('welcome')
    incoming.accept([], far.end, { prelude: Buffer.from('PROXY ') })
    const tunnel = await opening
    await turn()
    near.socket.end('early')
    const splice = tunnel.splice(near.end)
    t.equal(String(await readAll(near.socket)), 'welcome')
    t.equal(String(await readAll(far.socket)), 'PROXY early')
    await splice.finished
    await endOf(t, io, pair)
  })

  test('a server that drains lets open tunnels go on and takes no new ones', async (t) => {
    const pair = await connectionPair(io)
    const tunnel = await openTunnel(io, pair)
    pair.server.drain()
    pair.server.drain()
    await eventually(() => !pair.client.usable, 'the client has learnt it')
    await t.rejects(pair.client.open({ authority: 'a:1', headers: [] }), { code: 'h2', unprocessed: true })
    await exchange(t, tunnel.near, tunnel.far)
    await Promise.all([tunnel.nearSplice.finished, tunnel.farSplice.finished])
    await endOf(t, io, pair)
  })

  test('an idle connection that drains closes, from either end', async (t) => {
    for (const end of ['client', 'server'] as const) {
      const pair = await connectionPair(io)
      pair[end].drain()
      await endOf(t, io, pair)
    }
  })

  test('sends what many applications said once, though all of them then fall silent', async (t) => {
    const pair = await connectionPair(io)
    const tunnels = await Promise.all(Array.from({ length: 40 }, () => openTunnel(io, pair)))
    const said = Buffer.alloc(65_000, 'x')
    for (const { near } of tunnels) near.write(said)
    // No end, no other frame and no PING (the clock stands still) comes to help what was left waiting for its turn.
    for (const { far } of tunnels) {
      let heard = 0
      while (heard < said.length) heard += (await readSome(far)).length
      t.equal(heard, said.length)
    }
    pair.client.destroy()
    for (const { near, far } of tunnels) for (const socket of [near, far]) socket.on('error', () => {}).destroy()
    await endOf(t, io, pair)
  })

  test('more streams than the server takes are refused as not processed', async (t) => {
    const pair = await connectionPair(io, { maxConcurrentStreams: 2 })
    await eventually(() => pair.client.maxStreams === 2, 'SETTINGS arrived')
    const open = (): Promise<unknown> => pair.client.open({ authority: 'a:1', headers: [] })
    const pending = [open(), open()]
    await Promise.all([pair.nextTunnel(), pair.nextTunnel()])
    await t.rejects(open(), { code: 'h2', unprocessed: true })
    const lost = Promise.allSettled(pending)
    pair.client.destroy()
    t.match(await lost, [{ status: 'rejected' }, { status: 'rejected' }])
    await endOf(t, io, pair)
  })
}

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
