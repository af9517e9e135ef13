import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect as connectHttp2, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { createCsr, generateKeyPair } from '../../certificates/index.ts'
import { FakeClock } from '../../clock/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import {
  eventually,
  keepingLog,
  materialOf,
  newAuthority,
  NODE_TOKEN,
  startCa,
  TestAuthorizer,
  TestSource,
  TRUST_DOMAIN,
  type Teardown,
} from '../ca-fixture.ts'
import { encodeRequest } from '../client/certificate-messages.ts'

const root = newAuthority('root')
const a = SpiffeId.of(TRUST_DOMAIN, 'ns', 'a')
const forever = new AbortController().signal
/** Says that it has 65,536 octets, and has 60,000. */
const PART_OF_MESSAGE = Buffer.alloc(60_000)
PART_OF_MESSAGE.writeUInt32BE(65_536, 1)

interface OpenOptions {
  readonly localAddress?: string
  /** What the client takes of an answer. */
  readonly initialWindowSize?: number
}

function open(t: Teardown, port: number, over: OpenOptions = {}): ClientHttp2Session {
  const { localAddress = '127.0.0.1', initialWindowSize = 65_535 } = over
  const raw = connect({ host: '127.0.0.1', port, localAddress })
  const session = connectHttp2('https://localhost', {
    settings: { initialWindowSize },
    createConnection: () => connectTls({ socket: raw, rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
  })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return session
}

/** Unlike `once` of node:events, whatever error comes before. */
function closed(of: ClientHttp2Session | ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    if (of.closed) resolve()
    else of.once('close', resolve)
  })
}

/** Begins a call and does not end it. */
function begin(
  session: ClientHttp2Session,
  token?: string,
  more: Readonly<Record<string, string>> = {},
): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/istio.v1.auth.IstioCertificateService/CreateCertificate',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...more,
  })
  stream.on('error', () => {})
  return stream
}

/** The grpc-status of an answer that is no more than that; undefined where the stream ends without one. */
async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  let status: unknown
  stream.once('response', (headers) => (status = headers['grpc-status'])).resume()
  await closed(stream)
  return status
}

async function silent(t: Teardown, port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress }).on('error', () => {})
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

void t.test('without a token that is known nothing of a message is waited for', async (t) => {
  const authorizer = new TestAuthorizer()
  const { server } = await startCa(t, new TestSource(materialOf(root)), { authorizer })
  const session = open(t, server.address.port)
  for (const token of [undefined, 'a-guess', '']) {
    const stream = begin(session, token)
    stream.write(PART_OF_MESSAGE)
    t.equal(await statusOf(stream), '16')
  }
  t.same(authorizer.seen, [])
})

void t.test('headers have room for the longest token, and no more', async (t) => {
  const { server } = await startCa(t, new TestSource(materialOf(root)))
  const session = open(t, server.address.port)
  // What the server says counts from when it was heard.
  await once(session, 'remoteSettings')
  t.match(session.remoteSettings, { maxHeaderListSize: 20_480, maxConcurrentStreams: 16 })
  t.equal(await statusOf(begin(session, 'x'.repeat(16_384))), '16')
  const large = begin(session, 'x'.repeat(20_480))
  t.equal(await statusOf(large), undefined)
  t.equal(large.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  t.equal(await statusOf(begin(session, 'a-guess')), '16', 'the connection goes on')
})

void t.test('nothing that a stranger sends is written to stderr', async (t) => {
  const written = t.capture(console, 'error')
  const { server } = await startCa(t, new TestSource(materialOf(root)))
  const session = open(t, server.address.port)
  for (const value of ['\u009b31m', '\u00ff', 'plain'])
    t.equal(await statusOf(begin(session, 'a-guess', { value })), '16')
  t.same(written(), [])
})

void t.test('a message that does not come holds its place for five seconds', async (t) => {
  const clock = new FakeClock(Date.now())
  const { log, lines } = keepingLog()
  const { server, client } = await startCa(t, new TestSource(materialOf(root)), {
    clock,
    log,
    limits: { maxConcurrentCalls: 1 },
  })
  const stream = begin(open(t, server.address.port), NODE_TOKEN)
  stream.write(PART_OF_MESSAGE)
  await eventually(() => clock.pendingWithin(5_000) === 1)
  // It counts before it is whole.
  await t.rejects(client.fetch(a, forever), { code: 'signing', status: 'ResourceExhausted' })
  const status = statusOf(stream)
  await clock.advance(5_000)
  t.equal(await status, '4')
  t.match(lines.at(-1), 'the request did not come in time')
  await client.fetch(a, forever)
})

void t.test('a call that gRPC itself refused does not stay open', async (t) => {
  const { server } = await startCa(t, new TestSource(materialOf(root)))
  const stream = begin(open(t, server.address.port), NODE_TOKEN)
  stream.write(Buffer.from([0, 0, 1, 0, 1]))
  t.equal(await statusOf(stream), '8', 'too large')
})

void t.test('one address does not take the places of all calls', async (t) => {
  const clock = new FakeClock(Date.now())
  const limits = { maxConcurrentCalls: 3, maxCallsPerSource: 2 }
  const { server, client } = await startCa(t, new TestSource(materialOf(root)), { clock, limits })
  const session = open(t, server.address.port, { localAddress: '127.0.0.2' })
  for (let i = 0; i < 2; i++) begin(session, NODE_TOKEN)
  await eventually(() => clock.pendingWithin(5_000) === 2)
  t.equal(await statusOf(begin(session, NODE_TOKEN)), '8')
  await client.fetch(a, forever)
})

void t.test('an answer that is not taken ends its connection', async (t) => {
  const clock = new FakeClock(Date.now())
  const { server } = await startCa(t, new TestSource(materialOf(root)), { clock })
  const session = open(t, server.address.port, { initialWindowSize: 0 })
  const csr = createCsr(generateKeyPair(), a)
  const message = encodeRequest({ csr, validityDurationS: 0, impersonatedIdentity: a.toString() })
  const stream = begin(session, NODE_TOKEN)
  const answer = once(stream, 'response')
  stream.end(Buffer.concat([Buffer.of(0, 0, 0, message.length >> 8, message.length & 255), message]))
  await answer
  await clock.advance(29_999)
  t.notOk(session.closed)
  await clock.advance(1)
  await closed(session)
})

void t.test('who is refused too often has to connect anew', async (t) => {
  const limits = { maxRefusalsPerConnection: 3 }
  const { server } = await startCa(t, new TestSource(materialOf(root)), { limits })
  const session = open(t, server.address.port)
  for (let i = 0; i < 3; i++) t.equal(await statusOf(begin(session, `a-guess-${i}`)), '16')
  await closed(session)
})

void t.test('one address that takes all connections is in the way of itself only', async (t) => {
  const { server, client } = await startCa(t, new TestSource(materialOf(root)), { limits: { maxConnections: 4 } })
  const flood: Socket[] = []
  for (let i = 0; i < 10; i++) flood.push(await silent(t, server.address.port, '127.0.0.2'))
  await client.fetch(a, forever)
  for (let i = 0; i < 10; i++) flood.push(await silent(t, server.address.port, '127.0.0.2'))
  await eventually(() => flood.filter(({ closed }) => closed).length === flood.length - 3)
  await client.fetch(a, forever)
})

void t.test('a connection that has shown a token stays, strangers of its address go', async (t) => {
  const { server } = await startCa(t, new TestSource(materialOf(root)), { limits: { maxConnections: 3 } })
  const session = open(t, server.address.port)
  const first = begin(session, NODE_TOKEN)
  t.equal(await statusOf(first.end(Buffer.alloc(5))), '3', 'a request without a CSR')
  const strangers: Socket[] = []
  for (let i = 0; i < 10; i++) strangers.push(await silent(t, server.address.port, '127.0.0.1'))
  await eventually(() => strangers.filter(({ closed }) => closed).length === strangers.length - 2)
  t.equal(await statusOf(begin(session, NODE_TOKEN).end(Buffer.alloc(5))), '3')
})
