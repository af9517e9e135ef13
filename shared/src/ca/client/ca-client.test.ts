import { once } from 'node:events'
import { rename, writeFile } from 'node:fs/promises'
import { createServer as createTcpServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { join } from 'node:path'
import t from 'tap'
import { CertificateManager } from '../../certificates/index.ts'
import { FakeClock, systemClock } from '../../clock/index.ts'
import { newFifo } from '../../config-file/fifo-fixture.ts'
import { SpiffeId } from '../../identity/index.ts'
import { silentLog } from '../../log/index.ts'
import {
  eventually,
  keepingLog,
  materialOf,
  newAuthority,
  NODE_TOKEN,
  startCa,
  temporaryDirectory,
  TestSource,
  TRUST_DOMAIN,
} from '../ca-fixture.ts'
import { createCaClient } from './index.ts'

const root = newAuthority('root')
const idOf = (namespace: string, name: string): SpiffeId => SpiffeId.of(TRUST_DOMAIN, namespace, name)
const forever = new AbortController().signal

void t.test('the client verifies the server, by address or by its other name', async (t) => {
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)), {
    servingNames: ['istiod.istio-system.svc'],
  })
  const wanted = idOf('ns', 'a')
  await t.rejects(
    clientFor({}).fetch(wanted, forever),
    {
      code: 'signing',
      status: 'Unavailable',
      message: /does not match .*: \(see ALT_CA_HOSTNAME, or the CA's --serving-names\)$/,
    },
    'wrong name',
  )
  const named = clientFor({ alternativeHostname: 'istiod.istio-system.svc' })
  t.ok((await named.fetch(wanted, forever)).identity.equals(wanted))
  const foreign = clientFor({ roots: newAuthority('foreign').pem, alternativeHostname: 'istiod.istio-system.svc' })
  await t.rejects(
    foreign.fetch(wanted, forever),
    {
      code: 'signing',
      status: 'Unavailable',
      message: /local issuer certificate \(CA_ROOT_CA does not hold its root\)$/,
    },
    'a root that did not sign it',
  )
  const elsewhere = clientFor({ address: 'https://127.0.0.1:1' })
  await t.rejects(elsewhere.fetch(wanted, forever), { code: 'signing', message: /\(see CA_ADDRESS\)$/ })
})

void t.test('a compliance policy bounds the key exchange with the CA too', async (t) => {
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)))
  const { pem, key } = newAuthority('classic')
  const classic = createTlsServer({ cert: pem, key: key.privateKeyPem, ecdhCurve: 'X25519', ALPNProtocols: ['h2'] })
  const errors: string[] = []
  classic.on('tlsClientError', (error) => errors.push('code' in error ? String(error.code) : error.message))
  classic.listen(0, '127.0.0.1')
  await once(classic, 'listening')
  t.teardown(() => classic.close())
  const bound = classic.address()
  if (bound === null || typeof bound === 'string') throw new Error('no port')
  const wanted = idOf('ns', 'a')
  for (const compliance of ['pqc', 'fips'] as const) {
    t.ok((await clientFor({ compliance }).fetch(wanted, forever)).identity.equals(wanted))
    await t.rejects(clientFor({ compliance, address: `https://127.0.0.1:${bound.port}` }).fetch(wanted, forever))
    t.match(errors.pop(), /NO_SUITABLE_KEY_SHARE|NO_SUITABLE_GROUPS/, compliance)
  }
})

void t.test('roots and token are read for every call; what cannot be read leaves the old roots in use', async (t) => {
  const directory = await temporaryDirectory(t)
  const [roots, token] = [join(directory, 'root-cert.pem'), join(directory, 'token')]
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)))
  const { log, lines } = keepingLog()
  const client = clientFor({ roots, token: { path: token }, log })
  const wanted = idOf('ns', 'a')
  await t.rejects(client.fetch(wanted, forever), { code: 'bad-token' })
  await writeFile(token, '')
  await t.rejects(client.fetch(wanted, forever), { code: 'bad-token', message: /empty/ })
  await writeFile(token, `${NODE_TOKEN}\n`)
  await t.rejects(client.fetch(wanted, forever), { code: 'bad-roots' })
  await writeFile(roots, 'no certificate at all')
  await t.rejects(client.fetch(wanted, forever), { code: 'bad-roots', message: /holds no certificate/ })
  await writeFile(roots, newAuthority('foreign').pem)
  await t.rejects(client.fetch(wanted, forever), { code: 'signing', status: 'Unavailable' })
  await writeFile(roots, root.pem)
  t.ok(await client.fetch(wanted, forever), 'the swapped file counts at once')
  await writeFile(roots, 'half a fi')
  t.ok(await client.fetch(wanted, forever))
  t.match(lines, [/still verified with the old roots/])
  await writeFile(token, 'a-token-that-was-revoked')
  await t.rejects(client.fetch(wanted, forever), { code: 'signing', status: 'Unauthenticated' })
  client.close()
  await t.rejects(client.fetch(wanted, forever), { message: /closed/ })
})

void t.test('a FIFO or too much in place of token or roots fails the call, and holds no thread', async (t) => {
  const directory = await temporaryDirectory(t)
  const [fifo, good, token] = ['fifo', 'good', 'token'].map((name) => join(directory, name)) as [string, string, string]
  newFifo(t, fifo)
  await writeFile(good, NODE_TOKEN)
  await writeFile(token, 'x'.repeat(100_000))
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)))
  const wanted = idOf('ns', 'a')
  const tooLong = clientFor({ token: { path: token } }).fetch(wanted, forever)
  await t.rejects(tooLong, { code: 'bad-token', message: /it is larger than 65536 bytes$/ })
  for (const path of [fifo, '/dev/zero']) {
    const client = clientFor({ token: { path } })
    // More than libuv has threads.
    const calls = await Promise.allSettled(Array.from({ length: 8 }, () => client.fetch(wanted, forever)))
    for (const call of calls)
      t.match(call, { reason: { code: 'bad-token', retryable: true, message: /it is no regular file$/ } })
    const call = clientFor({ roots: path }).fetch(wanted, forever)
    await t.rejects(call, { code: 'bad-roots', message: /it is no regular file$/ })
  }
  await rename(good, token)
  t.ok(await clientFor({ token: { path: token } }).fetch(wanted, forever))
})

void t.test('addresses and headers are checked when the client is made', async (t) => {
  const options = {
    roots: 'SYSTEM',
    token: undefined,
    clusterId: '',
    secretTtlMs: 1,
    impersonate: true,
    clock: systemClock,
    log: silentLog,
  }
  for (const address of ['http://ca:15012', 'https://', 'https://ca/path', 'https://user@ca', '', 'ca:port']) {
    t.throws(() => createCaClient({ ...options, address }), { code: 'bad-address' }, address)
    t.throws(() => createCaClient({ ...options, address: 'ca:15012', headers: { 'bad name': 'x' } }), {
      code: 'bad-header',
    })
    t.doesNotThrow(() => createCaClient({ ...options, address: '[::1]:15012', headers: { XYZ: 'x' } }).close())
  }
})

void t.test('a CA that accepts and says nothing costs five seconds, not a connection for ever', async (t) => {
  const clock = new FakeClock()
  const silent = createTcpServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const bound = silent.address()
  const port = bound !== null && typeof bound === 'object' ? bound.port : 0
  const { clientFor } = await startCa(t, new TestSource(materialOf(root)))
  const client = clientFor({ address: `https://127.0.0.1:${port}`, clock })
  const fetched = client.fetch(idOf('ns', 'a'), forever)
  const refused = t.rejects(fetched, { code: 'signing', status: 'Unavailable', message: /no connection within 5 s/ })
  const [socket] = await once(silent, 'connection')
  await clock.advance(5_000)
  await refused
  t.equal(clock.pendingTimers, 0)
  const giveUp = new AbortController()
  const aborted = t.rejects(client.fetch(idOf('ns', 'a'), giveUp.signal), { code: 'signing', status: 'Cancelled' })
  giveUp.abort()
  await aborted
  client.close()
  socket.destroy()
  silent.close()
})

void t.test(
  'while the CA is down the manager keeps the last good certificate, and renews when it is back',
  async (t) => {
    const clock = new FakeClock(Date.now())
    const source = new TestSource(materialOf(root))
    const { server, client } = await startCa(t, source)
    const manager = new CertificateManager({ fetcher: client, clock, random: () => 0, log: silentLog })
    t.teardown(() => manager.close())
    const wanted = idOf('ns', 'a')
    const first = await manager.get(wanted, 'realtime')
    await server.close()
    await clock.advance(30 * 60_000)
    await t.rejects(client.fetch(wanted, forever), { code: 'signing', status: 'Unavailable' }, 'it is really down')
    t.equal(await manager.get(wanted, 'realtime'), first)
    await startCa(t, source, { listen: server.address })
    let changed = false
    manager.onChange({ available: () => void (changed = true), lost: () => {} })
    await eventually(async () => {
      await clock.advance(1_000)
      return changed
    })
    t.not((await manager.get(wanted, 'realtime')).serialNumber, first.serialNumber)
  },
)
