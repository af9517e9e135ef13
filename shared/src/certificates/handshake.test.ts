// Real handshakes over loopback: OpenSSL proves that the peer holds its key, the rest is ours, as in a tunnel.
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { connect, createSecureContext, TLSSocket, type ConnectionOptions, type SecureContext } from 'node:tls'
import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import {
  authority,
  CLIENT,
  DAY,
  leafExtensions,
  NOW,
  oddLeaf,
  revocationList,
  SERVER,
  workload,
} from './certificate-fixture.ts'
import {
  CertificateError,
  CrlSet,
  generateKeyPair,
  peerChainOf,
  secureContextFor,
  verifyClient,
  verifyServer,
  type WorkloadCertificate,
} from './index.ts'

interface End {
  readonly certificate: WorkloadCertificate
  readonly context?: SecureContext
  readonly crl?: CrlSet
}

interface Outcome {
  /** What the server says of the client, and the client of the server: an identity, or the code of the refusal. */
  readonly atServer: string
  readonly atClient: string
  readonly protocol: string | null
  readonly cipher: string
  /** The group of the key exchange. */
  readonly group: unknown
  readonly alpn: readonly unknown[]
  readonly serverName: unknown
  /** How many certificates each end was shown. */
  readonly presented: readonly number[]
  readonly isResumed: boolean
  /** Of the session tickets that the client got, the last. */
  readonly session: Buffer | undefined
}

/** One handshake and what both ends make of each other. Everything is closed when it returns. */
async function handshake(server: End, client: End, options: ConnectionOptions = {}): Promise<Outcome> {
  const accepted = Promise.withResolvers<TLSSocket>()
  const listener = createServer((raw: Socket) => {
    const secureContext = server.context ?? secureContextFor(server.certificate)
    accepted.resolve(
      new TLSSocket(raw, {
        isServer: true,
        secureContext,
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: ['h2'],
      }),
    )
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo // it listens on TCP
  const socket = connect({
    host: '127.0.0.1',
    port,
    secureContext: client.context ?? secureContextFor(client.certificate),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false, // those are the web's rules
    ...options,
  })
  const sessions: Buffer[] = []
  socket.on('session', (session) => void sessions.push(session)).resume()
  const closed = new Promise((resolve) => {
    socket.once('close', resolve)
  })
  const incoming = await accepted.promise
  incoming.resume()
  try {
    const [atServer, atClient] = await Promise.all([
      settled(incoming, 'secure', () => verifyClient(peerChainOf(incoming), server.certificate, NOW, server.crl)),
      settled(socket, 'secureConnect', () =>
        verifyServer(peerChainOf(socket), client.certificate, [SERVER], NOW, client.crl),
      ),
    ])
    const observed = {
      protocol: socket.getProtocol(),
      cipher: socket.getCipher()?.name,
      group: Reflect.get(socket.getEphemeralKeyInfo() ?? {}, 'name') as unknown,
      alpn: [incoming.alpnProtocol, socket.alpnProtocol],
      serverName: incoming.servername,
      presented: [peerChainOf(incoming).length, peerChainOf(socket).length],
      isResumed: socket.isSessionReused(),
    }
    incoming.end()
    await closed
    return { atServer, atClient, ...observed, session: sessions.at(-1) }
  } finally {
    socket.destroy()
    incoming.destroy()
    listener.close()
  }
}

function settled(socket: TLSSocket, event: string, verify: () => SpiffeId): Promise<string> {
  return new Promise((resolve) => {
    socket.once(event, () => {
      try {
        resolve(verify().toString())
      } catch (error) {
        resolve(error instanceof CertificateError ? error.code : String(error))
      }
    })
    socket.once('close', () => resolve('closed'))
    socket.once('error', (error) => resolve(`tls: ${'code' in error ? String(error.code) : error.message}`))
  })
}

const root = authority('root')
const server: End = { certificate: workload(root, SERVER) }
const client: End = { certificate: workload(root, CLIENT) }

void t.test('two workloads of one root learn who the other is', async (t) => {
  const outcome = await handshake(server, client)
  t.equal(outcome.atServer, CLIENT.toString())
  t.equal(outcome.atClient, SERVER.toString())
  t.equal(outcome.protocol, 'TLSv1.3')
  t.equal(outcome.cipher, 'TLS_AES_256_GCM_SHA384')
  t.same(outcome.alpn, ['h2', 'h2'])
  t.equal(outcome.serverName, false, 'no name is sent')
  t.same(outcome.presented, [1, 1], 'the root is not presented')
})

void t.test('the key exchange is post-quantum where both ends have it, and classic where one has not', async (t) => {
  const { certificate } = client
  const classic = createSecureContext({
    key: certificate.privateKeyPem,
    cert: certificate.chainPem.join(''),
    ca: [...certificate.rootsPem],
    ecdhCurve: 'P-256',
  })
  t.equal((await handshake(server, client)).group, 'X25519MLKEM768')
  t.equal((await handshake(server, { certificate, context: classic })).group, 'prime256v1')
  const strict = { ...server, context: secureContextFor(server.certificate, 'pqc') }
  t.equal((await handshake(strict, client)).group, 'X25519MLKEM768')
  t.match((await handshake(strict, { certificate, context: classic })).atServer, /^tls: ERR_SSL_/u)
  const approved = { ...server, context: secureContextFor(server.certificate, 'fips') }
  t.equal((await handshake(approved, client)).group, 'prime256v1')
  t.equal((await handshake(client, approved)).group, 'prime256v1')
  t.match((await handshake(strict, { ...approved, certificate })).atServer, /^tls: ERR_SSL_/u)
})

void t.test('a chain through intermediates is shown to the other end and followed', async (t) => {
  const middle = authority('middle', { under: root })
  const lower = authority('lower', { under: middle })
  const outcome = await handshake({ certificate: workload(lower, SERVER) }, { certificate: workload(middle, CLIENT) })
  t.equal(outcome.atServer, CLIENT.toString())
  t.equal(outcome.atClient, SERVER.toString())
  t.same(outcome.presented, [2, 3])
})

void t.test('each end refuses the other for its own reasons', async (t) => {
  const stranger = authority('root')
  const past = { nowMs: NOW - 2 * DAY, ttlMs: DAY }
  const revoked = (one: End): CrlSet => CrlSet.load(revocationList(root, [one.certificate.chainPem[0] ?? '']))
  const foreigner = { certificate: workload(root, SpiffeId.of('other.domain', 'shop', 'client')) }
  const [well, unwell] = [CLIENT.toString(), SERVER.toString()]
  const cases: [name: string, server: End, client: End, atServer: string, atClient: string][] = [
    ['a client of another trust domain', server, foreigner, 'wrong-trust-domain', unwell],
    ['a server that is somebody else', { certificate: workload(root, CLIENT) }, client, well, 'wrong-identity'],
    ['a client of another root', server, { certificate: workload(stranger, CLIENT) }, 'untrusted', 'untrusted'],
    ['an expired client', server, { certificate: workload(root, CLIENT, past) }, 'expired', unwell],
    ['an expired server', { certificate: workload(root, SERVER, past) }, client, well, 'expired'],
    [
      'a client for servers only',
      server,
      { certificate: workload(root, CLIENT, { usages: ['serverAuth'] }) },
      'wrong-usage',
      unwell,
    ],
    [
      'a server for clients only',
      { certificate: workload(root, SERVER, { usages: ['clientAuth'] }) },
      client,
      well,
      'wrong-usage',
    ],
    ['a revoked client', { ...server, crl: revoked(client) }, client, 'revoked', unwell],
    ['a revoked server', server, { ...client, crl: revoked(server) }, well, 'revoked'],
  ]
  for (const [name, one, other, atServer, atClient] of cases) {
    const outcome = await handshake(one, other)
    t.same([outcome.atServer, outcome.atClient], [atServer, atClient], name)
  }
})

void t.test('a client that says of no usage that it is for it is refused', async (t) => {
  const key = generateKeyPair()
  const { usage, names } = leafExtensions()
  const leaf = oddLeaf(root, [usage, names], { publicKeyDer: key.publicKeyDer })
  const certificate = { ...client.certificate, privateKeyPem: key.privateKeyPem, chainPem: [leaf] }
  t.equal((await handshake(server, { certificate })).atServer, 'wrong-usage')
})

void t.test('a client without a certificate does not get through the handshake', async (t) => {
  const bare = createSecureContext({ ca: [root.pem] })
  const { atServer } = await handshake(server, { ...client, context: bare })
  t.equal(atServer, 'tls: ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE')
})

void t.test('TLS 1.2 is refused', async (t) => {
  const { certificate } = client
  const key = certificate.privateKeyPem
  const old = createSecureContext({ key, cert: certificate.chainPem.join(''), maxVersion: 'TLSv1.2' })
  t.equal((await handshake(server, { certificate, context: old })).atServer, 'tls: ERR_SSL_UNSUPPORTED_PROTOCOL')
})

void t.test('a client that asks for another protocol than h2 is refused, one that asks for none is not', async (t) => {
  t.match((await handshake(server, client, { ALPNProtocols: ['http/1.1'] })).atClient, /NO_APPLICATION_PROTOCOL/u)
  t.equal((await handshake(server, client, { ALPNProtocols: undefined })).atServer, CLIENT.toString())
})

void t.test('whoever forgets to verify and leaves it to OpenSSL is refused', async (t) => {
  const nowMs = Date.now() // OpenSSL has no other clock
  const current = authority('root', { nowMs })
  const { atClient } = await handshake({ certificate: workload(current, SERVER, { nowMs }) }, client, {
    rejectUnauthorized: true,
  })
  t.equal(atClient, 'tls: UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

void t.test('no session is resumed, so that every connection is verified in full', async (t) => {
  const one = { ...server, context: secureContextFor(server.certificate) }
  const first = await handshake(one, client)
  const second = await handshake(one, client, first.session ? { session: first.session } : {})
  t.equal(second.isResumed, false)
  t.equal(second.atServer, CLIENT.toString())
})
