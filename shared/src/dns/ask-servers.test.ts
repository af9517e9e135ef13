// What name servers say, by real queries to one on loopback.
import { FakeClock } from '../clock/index.ts'
import t, { type Test } from 'tap'
import { askServers } from './index.ts'
import { startNameServer, type NameServer, type Saying } from './name-server-fixture.ts'

async function serverOf(t: Test, sayings: Record<string, Saying>): Promise<NameServer> {
  const server = await startNameServer(sayings)
  t.teardown(() => server.close())
  return server
}

const clock = new FakeClock()
const V4 = ['192.0.2.1', '192.0.2.2']
const V6 = ['2001:db8::1']

void t.test('A and AAAA together, for as long as the shortest of them holds', async (t) => {
  const { address, asked } = await serverOf(t, {
    'both.example A': { addresses: V4, ttl: 300 },
    'both.example AAAA': { addresses: V6, ttl: 60 },
  })
  const { answer } = askServers('both.example', { clock, ipv6Enabled: true, servers: [address] })
  t.strictSame(await answer, { v4: V4, v6: V6, ttlMs: 60_000, isIncomplete: false })
  t.strictSame(asked.toSorted(), ['both.example A', 'both.example AAAA'])
})

void t.test('an alias counts with the time that it holds itself', async (t) => {
  const { address } = await serverOf(t, { 'www.example A': { addresses: V4, ttl: 300, alias: { ttl: 20 } } })
  const { answer } = askServers('www.example', { clock, ipv6Enabled: true, servers: [address] })
  t.strictSame(await answer, { v4: V4, v6: [], ttlMs: 20_000, isIncomplete: false })
})

void t.test('without IPv6 no IPv6 address is asked for', async (t) => {
  const { address, asked } = await serverOf(t, {
    'both.example A': { addresses: V4, ttl: 300 },
    'six.example AAAA': { addresses: V6, ttl: 60 },
  })
  const options = { clock, ipv6Enabled: false, servers: [address] }
  t.match(await askServers('both.example', options).answer, { v4: V4, v6: [] })
  await t.rejects(askServers('six.example', options).answer, { code: 'no-addresses' })
  t.strictSame(asked, ['both.example A', 'six.example A'])
})

void t.test('a name is asked for as it is, whatever search domains there are', async (t) => {
  const { address, asked } = await serverOf(t, {})
  await t.rejects(askServers('one', { clock, ipv6Enabled: false, servers: [address] }).answer, { code: 'not-found' })
  t.strictSame(asked, ['one A'])
})

void t.test('why there is no address', async (t) => {
  const { address } = await serverOf(t, {
    'text-only.example TXT': { addresses: [], ttl: 60 },
    'broken.example A': 'server-failure',
    'broken.example AAAA': { addresses: [], ttl: 60 },
  })
  const options = { clock, ipv6Enabled: true, servers: [address] }
  for (const [name, code, message] of [
    ['none.example', 'not-found', 'there is no such name'],
    ['text-only.example', 'no-addresses', 'the name has no addresses'],
    ['broken.example', 'failed', /^the name servers failed: .*SERVFAIL/],
    [`${'a'.repeat(64)}.example`, 'failed', /^the name servers failed/],
  ] as const) {
    await t.rejects(askServers(name, options).answer, { name: 'DnsError', code, message }, name)
  }
})

void t.test('an IPv4-mapped address is an IPv4 address', async (t) => {
  const { address } = await serverOf(t, { 'mapped.example AAAA': { addresses: ['::ffff:192.0.2.1'], ttl: 60 } })
  const { v6 } = await askServers('mapped.example', { clock, ipv6Enabled: true, servers: [address] }).answer
  t.strictSame(v6, ['192.0.2.1'])
})

void t.test('one family that fails does not hide the other, and it is said that it failed', async (t) => {
  const { address } = await serverOf(t, {
    'half.example A': { addresses: V4, ttl: 300 },
    'half.example AAAA': 'server-failure',
  })
  const { answer } = askServers('half.example', { clock, ipv6Enabled: true, servers: [address] })
  t.strictSame(await answer, { v4: V4, v6: [], ttlMs: 300_000, isIncomplete: true })
})

void t.test('cancelled: what was answered until then, else that nobody answered', async (t) => {
  const { address, asked } = await serverOf(t, {
    'half.example A': { addresses: V4, ttl: 300 },
    'half.example AAAA': 'silence',
    'mute.example A': 'silence',
    'mute.example AAAA': 'silence',
    'later.example A': { addresses: V4, ttl: 300 },
  })
  const options = { clock, ipv6Enabled: true, servers: [address] }
  const half = askServers('half.example', options)
  const mute = askServers('mute.example', options)
  // The server has answered those before this one by then.
  await askServers('later.example', options).answer
  t.equal(asked.length, 6)
  half.cancel()
  mute.cancel()
  t.match(await half.answer, { v4: V4, v6: [], isIncomplete: true })
  await t.rejects(mute.answer, { code: 'timeout', message: 'no name server answered in time' })
})

void t.test('the other family is waited for as long as one lost question takes', async (t) => {
  const { address, asked } = await serverOf(t, {
    'half.example A': { addresses: V4, ttl: 300 },
    'half.example AAAA': 'silence',
    'later.example A': { addresses: V4, ttl: 300 },
  })
  const options = { clock, ipv6Enabled: true, servers: [address] }
  const { answer } = askServers('half.example', options)
  let isAnswered = false
  void answer.then(() => (isAnswered = true))
  await askServers('later.example', options).answer
  t.equal(asked.length, 4)
  await clock.advance(1_499)
  t.notOk(isAnswered)
  await clock.advance(1)
  t.match(await answer, { v4: V4, v6: [], isIncomplete: true })
  t.equal(clock.pendingTimers, 0)
})

void t.test('where no name server is, that is said', async (t) => {
  const gone = await startNameServer({})
  gone.close()
  const { answer } = askServers('any.example', { clock, ipv6Enabled: true, servers: [gone.address] })
  await t.rejects(answer, { code: 'failed', message: /refused/i })
})

void t.test('of a name with very many addresses some are kept', async (t) => {
  const many = Array.from({ length: 300 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
  const { address } = await serverOf(t, { 'many.example A': { addresses: many, ttl: 300 } })
  const { v4 } = await askServers('many.example', { clock, ipv6Enabled: true, servers: [address] }).answer
  t.strictSame(v4, many.slice(0, 256))
})
