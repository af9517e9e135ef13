import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import * as fc from 'fast-check'
import t from 'tap'
import {
  createCsr,
  generateKeyPair,
  parseCertificate,
  parseX509,
  splitPem,
  verifyClient,
  verifyServer,
} from '../certificates/index.ts'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
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
} from './ca-fixture.ts'
import { decodeResponse, encodeRequest } from './client/certificate-messages.ts'
import { loadServiceDefinition, type IstioCertificateRequest } from './server/service-definition.ts'

const root = newAuthority('root')
const idOf = (namespace: string, name: string): SpiffeId => SpiffeId.of(TRUST_DOMAIN, namespace, name)
const forever = new AbortController().signal

void t.test('the messages written by hand are those of the schema', async (t) => {
  const method = loadServiceDefinition()['CreateCertificate']
  if (!method) throw new Error('no such method')
  t.equal(method.path, '/istio.v1.auth.IstioCertificateService/CreateCertificate')
  fc.assert(
    fc.property(fc.string(), fc.nat(2 ** 31), fc.option(fc.string(), { nil: undefined }), (csr, seconds, name) => {
      const bytes = encodeRequest({ csr, validityDurationS: seconds * 1_000, impersonatedIdentity: name })
      const read = method.requestDeserialize(bytes) as IstioCertificateRequest
      return (
        read.csr === csr.toWellFormed() &&
        read.validity_duration === seconds * 1_000 &&
        read.metadata?.fields?.['ImpersonatedIdentity']?.stringValue === name?.toWellFormed()
      )
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 16 }), (chain) => {
      const read = decodeResponse(method.responseSerialize({ cert_chain: chain }))
      return JSON.stringify(read) === JSON.stringify(chain.map((text) => text.toWellFormed()))
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        return Array.isArray(decodeResponse(Buffer.from(bytes)))
      } catch (error) {
        return error instanceof Error && 'code' in error && error.code === 'bad-answer'
      }
    }),
  )
  t.same(decodeResponse(Buffer.from([0x10, 5, 0x0a, 1, 65, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8])), ['A'])
  t.throws(() => decodeResponse(Buffer.from([0x0a, 5, 65])), { code: 'bad-answer' })
  t.throws(() => decodeResponse(Buffer.alloc(40, Buffer.from([0x0a, 0]))), { code: 'bad-answer' })
})

void t.test('a node proxy gets the certificate of a workload', async (t) => {
  const authorizer = new TestAuthorizer()
  const { client } = await startCa(t, new TestSource(materialOf(root)), { authorizer })
  const certificate = await client.fetch(idOf('ns', 'a'), forever)
  const leaf = parseCertificate(parseX509(certificate.chainPem[0] ?? ''))
  t.same(leaf.uris, ['spiffe://cluster.local/ns/ns/sa/a'])
  t.equal(leaf.x509.subject, undefined, 'the subject is empty')
  t.same([leaf.isCa, leaf.extendedKeyUsages?.length], [false, 2])
  t.same(certificate.rootsPem.length, 1)
  t.equal(certificate.notAfterMs - certificate.notBeforeMs, 3_600_000 + 120_000, 'an hour, begun two minutes ago')
  t.match(authorizer.seen, [{ token: NODE_TOKEN, clusterId: 'Kubernetes' }])
  const second = await client.fetch(idOf('ns', 'a'), forever)
  t.not(second.privateKeyPem, certificate.privateKeyPem, 'every request has a new key')
  t.not(second.serialNumber, certificate.serialNumber)
})

void t.test('without impersonation the token says who it is, whatever the request names', async (t) => {
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)))
  const dedicated = clientFor({ impersonate: false })
  const certificate = await dedicated.fetch(idOf('kube-system', 'admin'), forever)
  t.equal(certificate.identity.toString(), 'spiffe://cluster.local/ns/own/sa/identity')
})

void t.test('strangers are refused and told nothing; the log says why', async (t) => {
  const { log, lines } = keepingLog()
  const { client, clientFor } = await startCa(t, new TestSource(materialOf(root)), { log })
  const refusals = [
    [
      'an unknown token',
      clientFor({ token: { value: 'a-stranger-s-token' } }),
      idOf('ns', 'a'),
      'request authenticate failure',
    ],
    ['no token', clientFor({ token: undefined }), idOf('ns', 'a'), 'request authenticate failure'],
    ['not of this node', client, idOf('other', 'a'), 'request impersonation authentication failure'],
    [
      'other trust domain',
      client,
      SpiffeId.of('evil.example', 'ns', 'a'),
      'request impersonation authentication failure',
    ],
  ] as const
  for (const [what, caller, wanted, message] of refusals) {
    await t.rejects(
      caller.fetch(wanted, forever),
      {
        code: 'signing',
        status: 'Unauthenticated',
        message: `signing gRPC error (Unauthenticated): ${message} (the reason is in the CA's log)`,
      },
      what,
    )
  }
  t.match(lines, [/unknown token/, /no bearer token/, /not on this node/, /the trust domain is not cluster.local/])
  t.notOk(
    lines.some((line) => line.includes('stranger-s-token')),
    'tokens are not logged',
  )
})

void t.test('an authorizer that goes astray gives nobody a foreign identity', async (t) => {
  const answers = [idOf('ns', 'b'), SpiffeId.of('evil.example', 'ns', 'a')]
  const authorizer = {
    authenticate: async () => {},
    authorize: async () => answers.shift() ?? Promise.reject(new Error('out of order')),
  }
  const { client } = await startCa(t, new TestSource(materialOf(root)), { authorizer })
  await t.rejects(client.fetch(idOf('ns', 'a'), forever), { code: 'signing', status: 'Internal' })
  await t.rejects(client.fetch(idOf('ns', 'a'), forever), { code: 'signing', status: 'Internal' })
  await t.rejects(client.fetch(idOf('ns', 'a'), forever), { code: 'signing', status: 'Unauthenticated' })
})

/** Calls as a foreign program would: with any message and any metadata. */
async function call(
  port: number,
  message: Parameters<typeof encodeRequest>[0],
  headers: Record<string, string> = { authorization: `Bearer ${NODE_TOKEN}` },
): Promise<string[] | ServiceError> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(root.pem)), {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.use_local_subchannel_pool': 1,
  })
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        '/istio.v1.auth.IstioCertificateService/CreateCertificate',
        encodeRequest,
        decodeResponse,
        message,
        metadata,
        (error, chain) => resolve(error ?? chain ?? []),
      )
    })
  } finally {
    client.close()
  }
}

void t.test('the names in a request count for nothing, its signature, size and lifetime do', async (t) => {
  const { server } = await startCa(t, new TestSource(materialOf(root)))
  const { port } = server.address
  const csr = createCsr(generateKeyPair(), idOf('kube-system', 'admin'))
  const wanted = { csr, validityDurationS: 0, impersonatedIdentity: 'spiffe://cluster.local/ns/ns/sa/a' }
  const chain = await call(port, wanted)
  if (!Array.isArray(chain)) throw chain
  const leaf = parseCertificate(parseX509(chain[0] ?? ''))
  t.same(leaf.uris, ['spiffe://cluster.local/ns/ns/sa/a'])
  t.equal(leaf.notAfterMs - leaf.notBeforeMs, 86_400_000 + 120_000, 'zero asks for the default of a day')
  t.ok(chain.every((pem) => pem.endsWith('\n')))
  const truncated = csr.replace(/\n.{20}/u, '\n')
  const refusals = [
    ['a broken request', { ...wanted, csr: truncated }, 3, /^CSR signing error \(/],
    ['no request', { ...wanted, csr: '' }, 3, /^CSR signing error \(/],
    ['a certificate', { ...wanted, csr: root.pem }, 3, /^CSR signing error \(/],
    ['91 days', { ...wanted, validityDurationS: 91 * 86_400 }, 3, /^CSR signing error \(.*maximum/],
    ['centuries', { ...wanted, validityDurationS: Number.MAX_SAFE_INTEGER }, 3, /maximum/],
    ['a long request', { ...wanted, csr: csr + ' '.repeat(20_000) }, 3, /^CSR signing error \(/],
    ['a huge message', { ...wanted, csr: 'x'.repeat(200_000) }, 8, /larger than max/],
    [
      'no SPIFFE id',
      { ...wanted, impersonatedIdentity: 'spiffe://cluster.local/ns/ns/sa/a,b' },
      16,
      /^request impersonation authentication failure$/,
    ],
  ] as const
  for (const [what, message, code, details] of refusals) t.match(await call(port, message), { code, details }, what)
  for (const authorization of ['', NODE_TOKEN, 'Basic abc', `Bearer ${NODE_TOKEN} x`, 'Bearer ']) {
    t.match(await call(port, wanted, { authorization }), { code: 16, details: 'request authenticate failure' })
  }
  t.ok(Array.isArray(await call(port, wanted, { authorization: `bearer ${NODE_TOKEN}` })), 'the scheme in any case')
})

void t.test('too many calls at once are turned away', async (t) => {
  const waiting: (() => void)[] = []
  const authorizer = {
    authenticate: async () => {},
    authorize: () =>
      new Promise<SpiffeId>((resolve) => {
        waiting.push(() => resolve(idOf('ns', 'a')))
      }),
  }
  const { client } = await startCa(t, new TestSource(materialOf(root)), {
    authorizer,
    limits: { maxConcurrentCalls: 2 },
  })
  const two = [client.fetch(idOf('ns', 'a'), forever), client.fetch(idOf('ns', 'a'), forever)]
  await eventually(() => waiting.length === 2)
  await t.rejects(client.fetch(idOf('ns', 'a'), forever), { code: 'signing', status: 'ResourceExhausted' })
  for (const go of waiting) go()
  t.equal((await Promise.all(two)).length, 2)
})

void t.test('connections without a call do not hold up the end', async (t) => {
  const { server } = await startCa(t, new TestSource(materialOf(root)))
  const silent = [1, 2].map(() => connect({ host: '127.0.0.1', port: server.address.port }).on('error', () => {}))
  await Promise.all(silent.map((socket) => once(socket, 'connect')))
  await server.close()
  await eventually(() => silent.every(({ closed }) => closed))
})

void t.test('several roots come whole and in order, a broken one is left out', async (t) => {
  const second = newAuthority('second')
  const { client } = await startCa(t, new TestSource(materialOf(root, { rootsPem: second.pem + root.pem })))
  const certificate = await client.fetch(idOf('ns', 'a'), forever)
  t.same(certificate.rootsPem, [...splitPem(second.pem), ...splitPem(root.pem)])
  t.equal(certificate.chainPem.length, 1, 'the signer is a root and not presented')
})

void t.test('a lifetime never goes beyond that of the root', async (t) => {
  const short = newAuthority('short', { ttlMs: 600_000 })
  const { client } = await startCa(t, new TestSource(materialOf(short)))
  const certificate = await client.fetch(idOf('ns', 'a'), forever)
  t.equal(certificate.notAfterMs, short.signer.certificate.notAfterMs)
})

void t.test('while both roots are bundled, holders of old and new certificates accept each other', async (t) => {
  const fresh = newAuthority('fresh')
  const source = new TestSource(materialOf(root))
  const { client, clientFor } = await startCa(t, source)
  const [a, b] = [idOf('ns', 'a'), idOf('ns', 'b')]
  const before = await client.fetch(a, forever)
  const both = root.pem + fresh.pem
  source.change(materialOf(root, { rootsPem: both }))
  const old = await client.fetch(a, forever)
  source.change(materialOf(fresh, { rootsPem: both }))
  const trustsBoth = clientFor({ roots: both })
  const current = await trustsBoth.fetch(b, forever)
  const chainOf = ({ chainPem }: typeof current) => chainPem.map((pem) => parseX509(pem))
  const now = Date.now()
  t.ok(verifyClient(chainOf(old), current, now).equals(a))
  t.ok(verifyServer(chainOf(current), old, [b], now).equals(b))
  t.ok(verifyClient(chainOf(current), old, now).equals(b))
  t.throws(() => verifyClient(chainOf(current), before, now), { code: 'untrusted' }, 'why the bundle must come first')
})

void t.test('the serving certificate is renewed at half-life and with its signer, without a restart', async (t) => {
  const clock = new FakeClock(Date.now())
  const source = new TestSource(materialOf(root))
  const { server } = await startCa(t, source, { clock })
  const presented = async (): Promise<string> => {
    const socket = connectTls({
      port: server.address.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    })
    await once(socket, 'secureConnect')
    const { serialNumber } = socket.getPeerCertificate()
    t.equal(socket.getProtocol(), 'TLSv1.3')
    socket.destroy()
    return serialNumber
  }
  const first = await presented()
  await clock.advance(11 * 3_600_000)
  t.equal(await presented(), first)
  await clock.advance(2 * 3_600_000)
  const second = await presented()
  t.not(second, first, 'after half of a day')
  source.change(materialOf(newAuthority('fresh')))
  t.not(await presented(), second, 'at once when the signer changes')
  const old = connectTls({
    port: server.address.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.2',
  })
  const [error] = (await once(old, 'error')) as [Error]
  t.match(error.message, /protocol version|alert/i, 'TLS 1.2 is refused')
})
