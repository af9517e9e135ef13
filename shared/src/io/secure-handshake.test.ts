// What is said of handshakes that fail, and of connections that the peer refuses after them: a reason for people on one line, and nothing of OpenSSL's own bookkeeping.
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createSecureContext, createServer, type ConnectionOptions, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { authority, SERVER, workload } from '../certificates/certificate-fixture.ts'
import { secureContextFor } from '../certificates/index.ts'
import { FakeClock } from '../clock/index.ts'
import type { ByteIo, Secured, SecureOptions } from './byte-io.ts'
import { bothIos, client, dial, listen } from './io-fixture.ts'
import { tlsReason } from './tls-reason.ts'

const nowMs = Date.now()
const certificate = workload(authority('root', { nowMs }), SERVER, { nowMs })
const context = secureContextFor(certificate)

void t.test('a reason for people', (t) => {
  const text =
    '40B33C0000000000:error:0A00009C:SSL routines:tls_validate_record_header:http request:../deps/openssl/tlsany_meth.c:68:\n'
  t.equal(tlsReason(Object.assign(new Error(text), { reason: 'http request' })), 'http request')
  t.equal(tlsReason(new Error(text)), 'http request', 'also where Node names none')
  t.equal(tlsReason(new Error('read ECONNRESET')), 'read ECONNRESET')
  t.end()
})

for (const io of bothIos()) {
  void t.test(`a server on the ${io.name} io`, async (t) => {
    await t.test('plain HTTP', async (t) => {
      await says(t, io, 'tls handshake error: http request', (socket) => socket.write('GET / HTTP/1.1\r\n\r\n'))
    })
    await t.test('no certificate', async (t) => {
      await says(t, io, 'tls handshake error: peer did not return a certificate', secure({}))
    })
    await t.test('another protocol than HTTP/2', async (t) => {
      const options = { secureContext: context, ALPNProtocols: ['http/1.1'] }
      await says(t, io, 'tls handshake error: no application protocol', secure(options))
    })
    await t.test('TLS 1.2', async (t) => {
      const secureContext = createSecureContext({ maxVersion: 'TLSv1.2' })
      await says(t, io, 'tls handshake error: unsupported protocol', secure({ secureContext }))
    })
    await t.test('a client that leaves', async (t) => {
      await says(t, io, 'tls handshake error: the peer closed the connection', (socket) => socket.end())
    })
    await t.test('a client that does not hurry', async (t) => {
      const clock = new FakeClock()
      await says(t, io, 'tls handshake error: not done within 10 ms', () => clock.advance(10), { clock })
    })
    await t.test('a certificate that is refused', async (t) => {
      const text = "tls handshake error: the peer's certificate is refused: not of this mesh"
      await says(t, io, text, secure({ secureContext: context }), { verify: refuse })
    })
  })
}

for (const io of bothIos()) {
  // In TLS 1.3 the client's handshake is done before the server has seen its certificate.
  void t.test(`a client on the ${io.name} io that is refused after its handshake`, async (t) => {
    const options = { key: certificate.privateKeyPem, cert: certificate.chainPem.join('') }
    const server = createServer({ ...options, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'] })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo // a TCP server that listens has one
    const secured = await io.secure(await dial(io, port), {
      role: 'client',
      context: createSecureContext({ minVersion: 'TLSv1.3' }),
      alpn: 'h2',
      verify: () => {},
      handshakeTimeoutMs: 10,
      clock: new FakeClock(),
    })
    const why = await new Promise<string | undefined>((resolve) => {
      secured.port.start({ onBytes: () => {}, onWritten: () => {}, onClosed: resolve })
    })
    t.match(why, /^(ssl\/tls|tlsv13) alert certificate required$/)
    server.close()
    await once(server, 'close')
  })
}

for (const io of bothIos()) {
  // Node's `createServer` sends tickets, so there would be something to resume.
  void t.test(`a client on the ${io.name} io names no server, asks for one protocol and resumes nothing`, async (t) => {
    const options = { key: certificate.privateKeyPem, cert: certificate.chainPem.join(''), ALPNProtocols: ['h2'] }
    const server = createServer(options)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo // a TCP server that listens has one
    const clientContext = secureContextFor(certificate)
    for (let time = 0; time < 2; time++) {
      const [[incoming], secured] = await Promise.all([
        once(server, 'secureConnection') as Promise<[TLSSocket]>,
        io.secure(await dial(io, port), {
          role: 'client',
          context: clientContext,
          alpn: 'h2',
          verify: () => {},
          handshakeTimeoutMs: 10,
          clock: new FakeClock(),
        }),
      ])
      t.equal(incoming.servername, false, 'no SNI')
      t.equal(incoming.alpnProtocol, 'h2')
      t.equal(incoming.isSessionReused(), false)
      const closed = new Promise((resolve) => {
        secured.port.start({ onBytes: () => {}, onWritten: () => {}, onClosed: resolve })
      })
      incoming.resume().end('hello')
      await closed
    }
    server.close()
    await once(server, 'close')
  })
}

function refuse(): never {
  throw new Error('not of this mesh')
}

/** Lets a peer misbehave at a handshake of ours and looks at the message. */
async function says(
  t: Test,
  io: ByteIo,
  message: string,
  misbehave: (socket: Socket) => unknown,
  options: Partial<SecureOptions<void>> = {},
): Promise<void> {
  const { listener, port, next } = listen(io)
  const [socket, end] = await Promise.all([client(port), next()])
  listener.close()
  socket.on('error', () => {}).resume()
  const closed = once(socket, 'close')
  const secured: Promise<Secured<void>> = io.secure(end, {
    role: 'server',
    context,
    alpn: 'h2',
    verify: () => {},
    handshakeTimeoutMs: 10,
    clock: new FakeClock(),
    ...options,
  })
  misbehave(socket)
  await t.rejects(secured, { message })
  socket.destroy()
  await closed
}

function secure(options: ConnectionOptions): (socket: Socket) => void {
  return (socket) => {
    connect({ socket, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...options }).on('error', () => {})
  }
}
