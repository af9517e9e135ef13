import { connect, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { SocketAddress } from '../ip/index.ts'
import { ask, brief, closed, endpointKit, LOOPBACK, parse, PLAIN, raw } from './http-fixture.ts'
import { silentLog, type LogFields } from '../log/index.ts'
import { HttpEndpoint, serveMetrics, text, type HttpHandler } from './index.ts'

const nothing = (): void => {}

void t.test('what a handler throws is a 500 with its text, and is logged', async (t) => {
  const warnings: (LogFields | undefined)[] = []
  const { open, options } = endpointKit(t)
  const log = { ...silentLog, warn: (_: string, fields?: LogFields) => void warnings.push(fields) }
  const port = await open(serveMetrics(() => Promise.reject(new Error('no worker answers')), { ...options, log }))
  t.same(brief(await ask(port, 'GET', '/metrics')), [500, PLAIN, 'no worker answers\n'])
  t.same(warnings, [{ path: '/metrics', error: 'no worker answers' }])
})

void t.test('a handler reads method, path, query and headers', async (t) => {
  const { open, options } = endpointKit(t)
  const port = await open(
    HttpEndpoint.listen({
      ...options,
      handler: ({ method, path, query, headers }) =>
        text(200, JSON.stringify([method, path, [...query], headers['x-a']])),
    }),
  )
  const show = async (target: string): Promise<string> => String((await ask(port, 'PUT', target, 'x-a: b')).body)
  t.equal(await show('/p?a=1&b=%20&c'), '["PUT","/p",[["a","1"],["b"," "],["c",""]],"b"]')
  t.equal(await show('/%2e?'), '["PUT","/%2e",[],"b"]')
  t.equal(await show('http://h?a=?'), '["PUT","/",[["a","?"]],"b"]')
})

void t.test('headers of more than 8 KiB and what is no HTTP are refused', async (t) => {
  const { open, options } = endpointKit(t)
  const port = await open(HttpEndpoint.listen({ ...options, handler: () => text(200, 'ok') }))
  t.equal((await ask(port, 'GET', '/', `x: ${'a'.repeat(7500)}`)).status, 200)
  t.equal((await ask(port, 'GET', '/', `x: ${'a'.repeat(8200)}`)).status, 431)
  t.equal((await ask(port, 'GET', `/${'a'.repeat(8200)}`)).status, 431)
  t.equal(parse(await raw(port, 'nonsense\r\n\r\n')).status, 400)
  t.equal(parse(await raw(port, '\u0016\u0003\u0001')).status, 400, 'TLS')
  t.equal(parse(await raw(port, 'GET / HTTP/1.1\r\nconnection: close\r\n\r\n')).status, 400, 'no host')
  t.equal(parse(await raw(port, 'CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n')).body.length, 0)
})

void t.test('a body is dropped, come or not; one of more than 64 KiB ends the request', async (t) => {
  const { open, options } = endpointKit(t)
  const aborted: AbortSignal[] = []
  const handler: HttpHandler = async ({ path, signal }) => {
    if (path === '/wait') {
      aborted.push(signal)
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
    }
    return text(200, 'ok')
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler }))
  const post = async (path: string, size: number, sent = size, header = 'x: y'): Promise<string> => {
    const head = `POST ${path} HTTP/1.1\r\nhost: x\r\n${header}\r\ncontent-length: ${size}\r\n\r\n`
    const { status, body } = parse(await raw(port, head + 'x'.repeat(sent)))
    return `${status} ${String(body)}`
  }
  t.equal(await post('/', 60_000), '200 ok')
  t.equal(await post('/', 60_000, 0), '200 ok')
  t.equal(await post('/', 60_000, 0, 'expect: 100-continue'), '200 ok', 'nobody is told to go on')
  t.equal(await post('/', 60_000, 0, 'expect: x'), '200 ok')
  t.equal(await post('/wait', 70_000), 'NaN ', 'cut off')
  t.same(
    aborted.map((signal) => signal.aborted),
    [true],
  )
})

const GET = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'
const WAIT = 'GET /wait HTTP/1.1\r\nhost: x\r\n\r\n'

/** A connection from this address that has sent this. */
async function held(port: number, localAddress: string, request: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
  await new Promise<void>((resolve) => void socket.once('connect', () => resolve()).write(request))
  return socket
}

/** A connection that was answered and is not closed by its client. */
async function lingering(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  socket.write(GET)
  await new Promise<void>((resolve) => void socket.resume().once('end', () => resolve()))
  return socket
}

void t.test('beyond the limit of connections the oldest that asks nothing makes room', async (t) => {
  const { open, options } = endpointKit(t)
  const { promise: isReached, resolve: reached } = Promise.withResolvers<void>()
  const handler: HttpHandler = async ({ path, signal }) => {
    if (path !== '/wait') return text(200, 'ok')
    reached()
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve)
    })
    return text(200, 'late')
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler, maxConnections: 3 }))
  const asking = [await held(port, '127.0.0.1', WAIT)]
  await isReached
  const silent = await held(port, '127.0.0.1', 'GET / HTTP/1.1\r\n')
  const answered = await lingering(port)
  t.teardown(() => [...asking, silent, answered].forEach((socket) => socket.destroy()))
  const isGone = closed(silent)
  t.equal((await ask(port, 'GET', '/')).status, 200)
  await isGone
  asking.push(await held(port, '127.0.0.1', WAIT))
  for (let i = 0; i < 20; i++) t.equal((await ask(port, 'GET', '/')).status, 200, 'there is always room for another')
  t.same(
    asking.map(({ destroyed }) => destroyed),
    [false, false],
    'what asks is not cut while another does not, or not any more',
  )
})

void t.test('where all ask something, the oldest of who has most makes room', async (t) => {
  const { open, options } = endpointKit(t)
  const asked: string[] = []
  let release = nothing
  const released = new Promise<void>((resolve) => (release = resolve))
  let arrived = nothing
  const handler: HttpHandler = async ({ path }) => {
    asked.push(path)
    arrived()
    await released
    return text(200, path)
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler, maxConnections: 3 }))
  const asking = async (path: string, address: string): Promise<Socket> => {
    const isAsked = new Promise<void>((resolve) => (arrived = resolve))
    const socket = await held(port, address, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    await isAsked
    return socket
  }
  const probe = await asking('/probe', '127.0.0.1')
  let answer = ''
  probe.on('data', (chunk: Buffer) => void (answer += String(chunk)))
  const flood: Socket[] = []
  for (let i = 0; i < 10; i++) flood.push(await asking(`/flood${i}`, '127.0.0.2'))
  t.teardown(() => flood.forEach((socket) => socket.destroy()))
  await Promise.all(flood.slice(0, 8).map((socket) => (socket.closed ? Promise.resolve() : closed(socket))))
  t.equal(asked.length, 11)
  release()
  await closed(probe)
  t.match(answer, /200 OK[^]*\/probe$/, 'the one connection of another client is not in the way of the many')
})

void t.test('of what a client asks without waiting the first request is answered, the rest dropped', async (t) => {
  const { open, options } = endpointKit(t)
  let begun = 0
  const handler: HttpHandler = ({ method, path }) => {
    begun++
    return text(200, `${method} ${path};`)
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler }))
  const kinds = [
    (i: number) => `GET /${i} HTTP/1.1\r\nhost: x\r\n\r\n`,
    (i: number) => `GET /${i} HTTP/1.0\r\nconnection: keep-alive\r\n\r\n`,
    (i: number) => `POST /${i} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\na\n\r\nb`,
    (i: number) => `POST /${i} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
  ]
  for (const kind of kinds) {
    const requests = Array.from({ length: 300 }, (_, i) => kind(i)).join('')
    for (let cut = 0; cut < kind(0).length; cut++) {
      begun = 0
      const answer = String(await inTwoPackets(port, requests.slice(0, cut), requests.slice(cut)))
      t.equal(begun, 1, `begun of those whose first is cut at ${cut}`)
      t.match(answer, /^HTTP\/1.1 200 OK\r\n((?!HTTP)[^])* \/0;$/)
    }
  }
})

/** As `raw`; the server, which is of this process, reads the first part alone. */
async function inTwoPackets(port: number, first: string, second: string): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true }).on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  const isClosed = closed(socket)
  await new Promise<void>((resolve) => void socket.once('connect', () => resolve()).write(first))
  for (let i = 0; i < 3; i++) await setImmediate()
  socket.write(second)
  await isClosed
  return Buffer.concat(chunks)
}

void t.test('who asks on without end is cut off', async (t) => {
  const { open, options } = endpointKit(t)
  const signals: AbortSignal[] = []
  const handler: HttpHandler = async ({ signal }) => {
    signals.push(signal)
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve)
    })
    return text(200, 'late')
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler }))
  t.equal(String(await raw(port, GET.repeat(64 * 1024))), '')
  t.same(
    signals.map(({ aborted }) => aborted),
    [true],
  )
})

void t.test('a client that does not read its answer is cut off', async (t) => {
  const { clock, open, options } = endpointKit(t)
  const body = 'x'.repeat(64 * 1024 * 1024)
  const port = await open(HttpEndpoint.listen({ ...options, handler: () => text(200, body) }))
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.write(GET)
  await new Promise<void>((resolve) => void socket.once('readable', () => resolve()))
  t.equal(clock.pendingTimers, 1)
  await clock.advance(30_000)
  let bytes = 0
  socket.on('data', (chunk: Buffer) => void (bytes += chunk.length))
  await closed(socket)
  t.ok(bytes > 0 && bytes < body.length)
})

void t.test('a client that does not close behind its answer is cut off', async (t) => {
  const { clock, open, options } = endpointKit(t)
  const port = await open(HttpEndpoint.listen({ ...options, handler: () => text(200, 'ok') }))
  const socket = await lingering(port)
  t.equal(clock.pendingTimers, 1)
  await clock.advance(30_000)
  // Where nobody reads any more there is a reset.
  const isClosed = closed(socket)
  while (!socket.destroyed) {
    socket.write('x')
    await setImmediate()
  }
  await isClosed
})

void t.test('who ends his side while he is answered gets all of it; before that he is taken to be gone', async (t) => {
  const { open, options } = endpointKit(t)
  const body = 'x'.repeat(16 * 1024 * 1024)
  const signals: AbortSignal[] = []
  const handler: HttpHandler = async ({ path, signal }) => {
    if (path !== '/wait') return text(200, body)
    signals.push(signal)
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve)
    })
    return text(200, 'late')
  }
  const port = await open(HttpEndpoint.listen({ ...options, handler }))
  for (const request of [GET, 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc']) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.write(request)
    await new Promise<void>((resolve) => void socket.once('readable', () => resolve()))
    socket.end()
    for (let i = 0; i < 10; i++) await setImmediate()
    let bytes = 0
    socket.on('data', (chunk: Buffer) => void (bytes += chunk.length))
    await closed(socket)
    t.ok(bytes > body.length, request)
  }
  const leaving = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  leaving.resume().end(WAIT)
  await closed(leaving)
  t.same(
    signals.map(({ aborted }) => aborted),
    [true],
  )
})

void t.test('closing lets a request under way finish, and cuts it at the deadline', async (t) => {
  for (const isFinished of [true, false]) {
    const { clock, options } = endpointKit(t)
    const finish: (() => void)[] = []
    const { promise: isReached, resolve: reached } = Promise.withResolvers<void>()
    const handler: HttpHandler = async () => {
      reached()
      await new Promise<void>((resolve) => void finish.push(resolve))
      return text(200, 'done')
    }
    const endpoint = await HttpEndpoint.listen({ ...options, handler })
    const [port = 0] = endpoint.ports
    const idle = closed(connect(port, '127.0.0.1').on('error', () => {}))
    const answer = raw(port, GET)
    await isReached
    const done = endpoint.close(5000)
    if (isFinished) finish.pop()?.()
    else await clock.advance(5000)
    const { headers, body } = parse(await answer)
    t.same([String(body), headers.get('connection')], isFinished ? ['done', 'close'] : ['', undefined])
    if (!isFinished) await idle
    else await clock.advance(5000)
    await done
    // A connection tells of its end only after its server does.
    while (clock.pendingTimers > 0) await setImmediate()
    t.equal(String(await raw(port, 'x')), '', 'nobody listens any more')
  }
})

/** Listening sockets of this process. */
function listeners(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length
}

void t.test('an address that cannot be had is refused, and the others are given back', async (t) => {
  const { open, options } = endpointKit(t)
  const listen = (addresses: readonly SocketAddress[]): Promise<HttpEndpoint> =>
    HttpEndpoint.listen({ ...options, addresses, handler: () => text(200, 'ok') })
  const port = await open(listen([LOOPBACK]))
  await t.rejects(listen([LOOPBACK, { address: '127.0.0.1', port }]), {
    code: 'bad-address',
    message: `cannot listen on 127.0.0.1:${port}: `,
  })
  await t.rejects(listen([{ address: '192.0.2.1', port: 0 }]), { code: 'bad-address' })
  while (listeners() > 1) await setImmediate()
  t.equal(listeners(), 1)
})

void t.test('several addresses share the port that was free for the first', async (t) => {
  const { open, options } = endpointKit(t)
  const addresses = [LOOPBACK, { address: '127.0.0.2', port: 0 }]
  const listening = HttpEndpoint.listen({ ...options, addresses, handler: () => text(200, 'ok') })
  const port = await open(listening)
  t.same((await listening).ports, [port, port])
})
