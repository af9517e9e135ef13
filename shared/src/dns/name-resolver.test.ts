// What is remembered, for how long, and who waits for what. Names are real ones of a server on loopback where answers matter.
import t, { type Test } from 'tap'
import { Cancellation } from '../cancellation/index.ts'
import { FakeClock } from '../clock/index.ts'
import { askServers, DnsError, NameResolver, type Answer, type NameResolverLimits, type Query } from './index.ts'
import { startNameServer, type NameServer, type Saying } from './name-server-fixture.ts'

const V4 = ['192.0.2.1']
const V6 = ['2001:db8::1']
const FOREVER = new Cancellation()

interface Kit {
  readonly clock: FakeClock
  readonly server: NameServer
  readonly names: NameResolver
}

async function kit(t: Test, sayings: Record<string, Saying>): Promise<Kit> {
  const clock = new FakeClock()
  const server = await startNameServer(sayings)
  const names = new NameResolver({
    clock,
    ask: (name) => askServers(name, { clock, ipv6Enabled: true, servers: [server.address] }),
  })
  t.teardown(() => server.close())
  return { clock, server, names }
}

/** Questions that the test answers itself. */
class Questions {
  readonly clock = new FakeClock()
  readonly names: NameResolver
  readonly open = new Map<string, { readonly answer: (answer: Partial<Answer> | DnsError) => void }>()
  readonly cancelled: string[] = []

  constructor(limits: Partial<NameResolverLimits> = {}) {
    this.names = new NameResolver({ clock: this.clock, ask: (name) => this.#ask(name), limits })
  }

  #ask(name: string): Query {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const close = (): void => void this.open.delete(name)
    this.open.set(name, {
      answer: (answer) => {
        close()
        if (answer instanceof DnsError) reject(answer)
        else resolve({ v4: V4, v6: [], ttlMs: 60_000, isIncomplete: false, ...answer })
      },
    })
    const cancel = (): void => {
      this.cancelled.push(name)
      close()
      reject(new DnsError('timeout', 'no name server answered in time'))
    }
    return { answer: promise, cancel }
  }
}

void t.test('an answer is remembered for its TTL, and given at once', async (t) => {
  const { clock, server, names } = await kit(t, {
    'db.example A': { addresses: V4, ttl: 60 },
    'db.example AAAA': { addresses: V6, ttl: 90 },
  })
  const first = names.resolve('db.example', FOREVER)
  t.ok(first instanceof Promise)
  t.match(await first, { v4: V4, v6: V6 })
  await clock.advance(59_999)
  const again = names.resolve('db.example', FOREVER)
  t.notOk(again instanceof Promise)
  t.match(again, { v4: V4, v6: V6 })
  t.equal(server.asked.length, 2)
  server.sayings['db.example A'] = { addresses: ['192.0.2.9'], ttl: 60 }
  await clock.advance(1)
  t.match(await names.resolve('db.example', FOREVER), { v4: ['192.0.2.9'] })
  t.equal(server.asked.length, 4)
})

void t.test('TTLs are kept within bounds', async (t) => {
  const questions = new Questions()
  const { clock, names, open } = questions
  const isRemembered = async (answer: Partial<Answer>, forMs: number): Promise<void> => {
    const asked = names.resolve('a', FOREVER)
    open.get('a')?.answer(answer)
    await asked
    await clock.advance(forMs - 1)
    t.notOk(names.resolve('a', FOREVER) instanceof Promise, `${answer.ttlMs} ms, not over before ${forMs}`)
    await clock.advance(1)
  }
  await isRemembered({ ttlMs: 0 }, 1_000)
  await isRemembered({ ttlMs: 86_400_000 }, 3_600_000)
  await isRemembered({ ttlMs: 86_400_000, isIncomplete: true }, 30_000)
})

void t.test('an answer lasts neither shorter nor longer by a wall clock that is set', async (t) => {
  for (const stepMs of [3_600_000, -3_600_000]) {
    const { clock, names, open } = new Questions()
    const asked = names.resolve('a', FOREVER)
    open.get('a')?.answer({ ttlMs: 60_000 })
    await asked
    clock.stepWallClock(stepMs)
    await clock.advance(59_999)
    t.notOk(names.resolve('a', FOREVER) instanceof Promise, `still known, ${stepMs}`)
    await clock.advance(1)
    const again = names.resolve('a', FOREVER)
    t.ok(again instanceof Promise, `asked anew, ${stepMs}`)
    open.get('a')?.answer({})
    await again
  }
})

void t.test('that there is no address is remembered for a short while', async (t) => {
  const { clock, server, names } = await kit(t, {})
  await t.rejects(async () => names.resolve('none.example', FOREVER), { code: 'not-found' })
  await clock.advance(4_999)
  t.throws(() => names.resolve('none.example', FOREVER), { code: 'not-found' })
  t.equal(server.asked.length, 2)
  await clock.advance(1)
  server.sayings['none.example A'] = { addresses: V4, ttl: 60 }
  t.match(await names.resolve('none.example', FOREVER), { v4: V4 })
})

void t.test('all who want the same name wait for one lookup', async (t) => {
  const { names, server } = await kit(t, { 'db.example A': { addresses: V4, ttl: 60 } })
  const answers = await Promise.all(Array.from({ length: 50 }, async () => names.resolve('db.example', FOREVER)))
  for (const answer of answers) t.match(answer, { v4: V4 })
  t.strictSame(server.asked.toSorted(), ['db.example A', 'db.example AAAA'])
})

void t.test('a name server that is silent fails everybody who waits, in time', async (t) => {
  const { clock, names } = await kit(t, { 'mute.example A': 'silence', 'mute.example AAAA': 'silence' })
  const answers = Promise.allSettled([names.resolve('mute.example', FOREVER), names.resolve('mute.example', FOREVER)])
  await clock.advance(5_000)
  const timeout = { status: 'rejected', reason: { code: 'timeout', message: 'no name server answered in time' } }
  t.match(await answers, [timeout, timeout])
  t.equal(clock.pendingTimers, 0)
})

void t.test('… but what was answered until then counts', async (t) => {
  const { clock, names, server } = await kit(t, {
    'half.example A': { addresses: V4, ttl: 300 },
    'half.example AAAA': 'silence',
    'later.example A': { addresses: V4, ttl: 300 },
  })
  const answer = names.resolve('half.example', FOREVER)
  await names.resolve('later.example', FOREVER)
  t.equal(server.asked.length, 4)
  await clock.advance(5_000)
  t.match(await answer, { v4: V4, v6: [] })
})

void t.test('who leaves does not wait any more; the last one ends the lookup', async (t) => {
  const { clock, names, open, cancelled } = new Questions()
  const [first, second] = [new Cancellation(), new Cancellation()]
  const answers = Promise.allSettled([names.resolve('a', first), names.resolve('a', second)])
  first.abort('first left')
  t.strictSame(cancelled, [])
  second.abort('second left')
  t.strictSame(cancelled, ['a'])
  t.match(await answers, [{ reason: 'first left' }, { reason: 'second left' }])
  t.equal(clock.pendingTimers, 0)
  const again = names.resolve('a', FOREVER)
  t.ok(again instanceof Promise, 'that it was ended is no answer')
  open.get('a')?.answer({})
  t.match(await again, { v4: V4 })
})

void t.test('so many lookups are under way, the others begin when those end', async (t) => {
  const { clock, names, open } = new Questions({ maxQueries: 2 })
  const leaving = new Cancellation()
  const asked = ['a', 'b', 'c', 'd', 'e'].map(async (name) => names.resolve(name, name === 'c' ? leaving : FOREVER))
  const answers = Promise.allSettled(asked)
  t.strictSame([...open.keys()], ['a', 'b'])
  leaving.abort('c left')
  open.get('a')?.answer({})
  await asked[0]
  t.strictSame([...open.keys()], ['b', 'd'])
  await clock.advance(5_000)
  const waited = { reason: { code: 'overloaded', message: 'it had to wait too long for lookups of other names' } }
  const [, ...others] = await answers
  t.match(others, [{ reason: { code: 'timeout' } }, { reason: 'c left' }, waited, waited])
  t.throws(() => names.resolve('b', FOREVER), { code: 'timeout' }, 'a timeout is remembered')
  t.equal(clock.pendingTimers, 0)
  const again = names.resolve('e', FOREVER)
  open.get('e')?.answer({})
  t.match(await again, { v4: V4 }, 'having waited is not')
})

void t.test('too many lookups, or too many who wait for one, are refused', async (t) => {
  const { names, open } = new Questions({ maxQueries: 1, maxLookups: 2, maxWaiters: 2 })
  const answers = ['a', 'a', 'b'].map(async (name) => names.resolve(name, FOREVER))
  t.throws(() => names.resolve('c', FOREVER), { code: 'overloaded', message: 'too many names are looked up at once' })
  t.throws(() => names.resolve('a', FOREVER), { code: 'overloaded', message: 'too many connections wait for the name' })
  for (const name of ['a', 'b']) {
    open.get(name)?.answer({})
    await answers[name === 'a' ? 0 : 2]
  }
  t.match(await Promise.all(answers), [{ v4: V4 }, { v4: V4 }, { v4: V4 }])
})

void t.test('so many names are remembered; the one that was not used for longest goes', async (t) => {
  const { names, open } = new Questions({ maxNames: 2 })
  const learn = async (name: string): Promise<void> => {
    const answer = names.resolve(name, FOREVER)
    open.get(name)?.answer({})
    await answer
  }
  await learn('a')
  await learn('b')
  t.notOk(names.resolve('a', FOREVER) instanceof Promise)
  await learn('c')
  t.notOk(names.resolve('a', FOREVER) instanceof Promise)
  t.ok(names.resolve('b', FOREVER) instanceof Promise)
  open.get('b')?.answer({})
})
