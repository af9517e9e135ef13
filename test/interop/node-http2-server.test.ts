// node:http2 (nghttp2) as the server that our pool opens tunnels to, over real mutual TLS.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { systemClock } from '@ambit/shared/clock'
import type { OutgoingTunnel } from '@ambit/shared/hbone'
import { identities } from '../attacks/identities.ts'
import { PoolUser } from '../attacks/upstream.ts'

t.setTimeout(60_000)

interface Foreign {
  readonly server: Http2SecureServer
  readonly port: number
  readonly sessions: ServerHttp2Session[]
  readonly requests: IncomingHttpHeaders[]
  close(): void
}

/** A server that answers each CONNECT by `answer`; without one it echoes. */
async function foreign(
  answer: (stream: ServerHttp2Stream, index: number) => void = echo,
  options: SecureServerOptions = {},
): Promise<Foreign> {
  const { server: own } = identities
  const server = createSecureServer({
    key: own.privateKeyPem,
    cert: own.chainPem.join(''),
    requestCert: true,
    rejectUnauthorized: false,
    ...options,
  })
  const sessions: ServerHttp2Session[] = []
  const requests: IncomingHttpHeaders[] = []
  server.on('session', (session) => sessions.push(session))
  server.on('stream', (stream, headers) => {
    // Of a server they are that.
    const own = stream as ServerHttp2Stream
    own.on('error', () => {})
    requests.push(headers)
    answer(own, requests.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP server that listens has one
  const close = (): void => {
    for (const session of sessions) session.destroy()
    server.close()
  }
  return { server, port, sessions, requests, close }
}

function echo(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200 })
  stream.pipe(stream)
}

/** Joins a tunnel with an application of the test, and answers the application's socket. */
async function joined(
  user: PoolUser,
  tunnel: OutgoingTunnel,
): Promise<{ readonly app: Socket; readonly finished: Promise<void> }> {
  const { end, socket } = await user.applications.pair()
  return { app: socket, finished: tunnel.splice(end).finished }
}

async function echoes(user: PoolUser, tunnel: OutgoingTunnel, bytes: Buffer): Promise<boolean> {
  const { app, finished } = await joined(user, tunnel)
  const hash = createHash('sha256')
  app.end(bytes)
  for await (const chunk of app) hash.update(chunk as Buffer)
  await finished
  return hash.digest('hex') === createHash('sha256').update(bytes).digest('hex')
}

async function end(user: PoolUser, ...servers: readonly Foreign[]): Promise<void> {
  user.pool.destroy()
  user.applications.close()
  for (const server of servers) server.close()
}

void t.test('a tunnel carries bytes both ways and ends half by half; the request is what HBONE asks for', async (t) => {
  const [user, server] = await Promise.all([PoolUser.start(systemClock), foreign()])
  t.ok(await echoes(user, await user.open(server.port, '10.0.0.1:80'), randomBytes(8 * 1024 * 1024)))
  const {
    ':method': method,
    ':authority': authority,
    ':scheme': scheme,
    ':path': path,
    baggage,
  } = server.requests[0] ?? {}
  t.same(
    [method, authority, scheme, path, baggage],
    ['CONNECT', '10.0.0.1:80', undefined, undefined, 'k8s.namespace.name=default'],
  )
  const many = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => echoes(user, await user.open(server.port), randomBytes(500 + i * 991))),
  )
  t.equal(many.filter((same) => same).length, 100)
  t.equal(server.sessions.length, 1, 'all of them on one connection')
  await end(user, server)
})

void t.test('windows, frames and tables of any size that nghttp2 asks for', async (t) => {
  const user = await PoolUser.start(systemClock)
  for (const settings of [
    { initialWindowSize: 1 },
    { initialWindowSize: 65_535, maxFrameSize: 16_384 },
    { initialWindowSize: 10_485_760, maxFrameSize: 16_777_215 },
    { headerTableSize: 0 },
  ]) {
    const server = await foreign(echo, { settings })
    const size = settings.initialWindowSize === 1 ? 300 : 3_000_000
    for (let i = 0; i < 2; i++)
      t.ok(await echoes(user, await user.open(server.port), randomBytes(size)), JSON.stringify(settings))
    t.equal(server.sessions.length, 1)
    server.close()
  }
  await end(user)
})

void t.test('settings that change while tunnels are in use', async (t) => {
  const [user, server] = await Promise.all([PoolUser.start(systemClock), foreign()])
  const done = echoes(user, await user.open(server.port), randomBytes(6 * 1024 * 1024))
  const [session] = server.sessions
  for (const settings of [
    { initialWindowSize: 1_000 },
    { headerTableSize: 0 },
    { maxFrameSize: 100_000 },
    { initialWindowSize: 1_000_000 },
    { headerTableSize: 4_096 },
  ])
    await new Promise<void>((resolve, reject) =>
      session?.settings(settings, (error) => (error ? reject(error) : resolve())),
    )
  t.ok(await done)
  t.ok(await echoes(user, await user.open(server.port), Buffer.from('after')))
  t.equal(server.sessions.length, 1)
  await end(user, server)
})

void t.test('a server that allows one stream gets one at a time on each connection', async (t) => {
  const [user, server] = await Promise.all([
    PoolUser.start(systemClock),
    foreign(echo, { settings: { maxConcurrentStreams: 1 } }),
  ])
  const results = await Promise.all(
    Array.from({ length: 6 }, async (_, i) => echoes(user, await user.open(server.port), randomBytes(1_000 * (i + 1)))),
  )
  t.same(
    results,
    Array.from({ length: 6 }, () => true),
  )
  await end(user, server)
})

void t.test('a GOAWAY leaves open tunnels alone; the next request goes to a new connection', async (t) => {
  const [user, server] = await Promise.all([PoolUser.start(systemClock), foreign()])
  const { app, finished } = await joined(user, await user.open(server.port))
  app.write('before ')
  await once(app, 'data')
  server.sessions[0]?.goaway(constants.NGHTTP2_NO_ERROR)
  server.sessions[0]?.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.ok(await echoes(user, await user.open(server.port), Buffer.from('elsewhere')))
  t.equal(server.sessions.length, 2)
  app.end('after')
  const [answer] = (await once(app, 'data')) as [Buffer]
  t.equal(String(answer), 'after')
  await finished
  await end(user, server)
})

void t.test(
  'a GOAWAY that leaves a request out has it sent once more elsewhere, and another one wait on',
  async (t) => {
    let held: ServerHttp2Stream | undefined
    const [user, server] = await Promise.all([
      PoolUser.start(systemClock),
      foreign((stream, index) => {
        if (index === 2) held = stream
        else if (index === 3) {
          stream.session?.goaway(constants.NGHTTP2_NO_ERROR, held?.id ?? 0)
          if (held) echo(held)
        } else echo(stream)
      }),
    ])
    // The server's limit is known from then on, so that two go on one connection at once.
    t.ok(await echoes(user, await user.open(server.port), Buffer.from('first')))
    const tunnels = await Promise.all([user.open(server.port, 'looked.at:1'), user.open(server.port, 'left.out:1')])
    t.same(await Promise.all(tunnels.map((tunnel, i) => echoes(user, tunnel, randomBytes(1_000 * (i + 1))))), [
      true,
      true,
    ])
    t.same(
      server.requests.slice(1).map(({ ':authority': authority }) => authority),
      ['looked.at:1', 'left.out:1', 'left.out:1'],
    )
    t.equal(server.sessions.length, 2)
    await end(user, server)
  },
)

void t.test('an answer other than 200, a refused and a reset stream are what they are', async (t) => {
  const [user, server] = await Promise.all([
    PoolUser.start(systemClock),
    foreign((stream, index) => {
      if (index === 1) stream.respond({ ':status': 401 }, { endStream: true })
      else if (index === 2) stream.respond({ ':status': 503 })
      else if (index <= 4) stream.close(constants.NGHTTP2_REFUSED_STREAM)
      else if (index === 5) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      else echo(stream)
    }),
  ])
  t.equal(await user.outcome(server.port), 'status', '401')
  t.equal(await user.outcome(server.port), 'status', '503 that does not end')
  t.equal(await user.outcome(server.port), 'h2', 'refused twice: it was sent once more')
  t.equal(server.requests.length, 4)
  t.equal(await user.outcome(server.port), 'h2', 'an error is not repeated')
  t.equal(server.requests.length, 5)
  t.ok(await echoes(user, await user.open(server.port), Buffer.from('well')))
  await end(user, server)
})

void t.test('resets of an open tunnel: theirs reach the application, ours reach them', async (t) => {
  const streams: ServerHttp2Stream[] = []
  const [user, server] = await Promise.all([
    PoolUser.start(systemClock),
    foreign((stream) => {
      streams.push(stream)
      stream.respond({ ':status': 200 })
      stream.resume()
    }),
  ])
  const torn = await joined(user, await user.open(server.port))
  streams[0]?.close(constants.NGHTTP2_INTERNAL_ERROR)
  torn.app.on('error', () => {})
  await t.rejects(torn.finished, { code: 'h2' })
  const ended = await joined(user, await user.open(server.port))
  streams[1]?.close(constants.NGHTTP2_CANCEL)
  ended.app.end()
  await ended.finished
  const tunnel = await user.open(server.port)
  const closed = new Promise((resolve) => streams[2]?.once('close', resolve))
  tunnel.reset()
  await closed
  t.equal(streams[2]?.rstCode, constants.NGHTTP2_CANCEL)
  t.equal(server.sessions.length, 1)
  await end(user, server)
})

void t.test('a server that is gone in the middle of a tunnel', async (t) => {
  const [user, server] = await Promise.all([PoolUser.start(systemClock), foreign()])
  const { app, finished } = await joined(user, await user.open(server.port))
  app.on('error', () => {})
  server.sessions[0]?.destroy()
  await t.rejects(finished, { code: 'h2' })
  t.ok(await echoes(user, await user.open(server.port), Buffer.from('again')), 'and a new connection')
  await end(user, server)
})
