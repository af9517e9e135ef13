import * as fc from 'fast-check'
import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import type { Authorization, Cidr, Match, StringMatch } from '../mesh/index.ts'
import { evaluatePlainly } from './evaluate-plainly.ts'
import { compilePolicies, MAX_DRY_RUN_EVENTS, PolicySet, type ConnectionFacts, type Verdict } from './index.ts'
import { prepareFacts } from './prepared-facts.ts'
import { RuleIndex } from './rule-index.ts'
import { EMPTY, exact, FACTS, match, messages, PLAINTEXT, policy, prefix, presence, suffix } from './test-fixtures.ts'

void t.test('STRICT as Istio sends it refuses plaintext and lets any identity in', async (t) => {
  const strict = policy({
    name: 'istio_converted_static_strict',
    namespace: 'istio-system',
    scope: 'WorkloadSelector',
    action: 'Deny',
    rules: [[[match({ notPrincipals: [presence] })]]],
  })
  const set = new PolicySet()
  set.set(strict)
  const target = { namespace: 'ns', authorizationPolicies: ['istio-system/istio_converted_static_strict'] }
  t.match(set.evaluate(target, PLAINTEXT), {
    allowed: false,
    reason: 'explicitly denied by: istio-system/istio_converted_static_strict',
  })
  t.equal(set.evaluate(target, FACTS).allowed, true)
  t.equal(set.evaluate({ namespace: 'ns', authorizationPolicies: [] }, PLAINTEXT).allowed, true)
})

function deny(name: string, scope: Authorization['scope'], namespace: string): Authorization {
  return policy({ name, namespace, scope, action: 'Deny', rules: [[]] })
}

function reason(set: PolicySet, namespace: string, ...authorizationPolicies: readonly string[]): string | undefined {
  return set.evaluate({ namespace, authorizationPolicies }, FACTS).policy
}

void t.test('a workload is subject to global policies, those of its namespace and those that it names', async (t) => {
  const global = new PolicySet()
  global.set(deny('g', 'Global', 'root'))
  t.equal(reason(global, 'anywhere'), 'root/g')

  const namespaced = new PolicySet()
  namespaced.set(deny('n', 'Namespace', 'a'))
  t.equal(reason(namespaced, 'a'), 'a/n')
  t.equal(reason(namespaced, 'b'), undefined)
  t.equal(reason(namespaced, 'b', 'a/n'), 'a/n', 'by name also from elsewhere')

  const selected = new PolicySet()
  selected.set(deny('w1', 'WorkloadSelector', 'a'))
  selected.set(deny('w2', 'WorkloadSelector', 'a'))
  t.equal(reason(selected, 'a'), undefined, 'only when named')
  t.equal(reason(selected, 'a', 'a/w2'), 'a/w2', 'and then no other of the same namespace')
  t.equal(reason(selected, 'b', 'a/w2', 'a/w1'), 'a/w1')
  t.equal(reason(selected, 'a', 'a/w1', 'a/unknown'), 'a/unknown', 'a name that nobody knows refuses')
  t.same(selected.missing({ namespace: 'a', authorizationPolicies: ['a/unknown', 'a/w1'] }), ['a/unknown'])

  const allow = new PolicySet()
  allow.set(policy({ name: 'none', namespace: 'a', scope: 'WorkloadSelector' }))
  t.equal(allow.evaluate({ namespace: 'a', authorizationPolicies: [] }, FACTS).allowed, true)
  t.equal(allow.evaluate({ namespace: 'a', authorizationPolicies: ['a/none'] }, FACTS).allowed, false)
  const dry = new PolicySet()
  dry.set(policy({ name: 'w', namespace: 'a', scope: 'WorkloadSelector', dryRun: true, rules: [[]] }))
  t.same(messages(dry.evaluate({ namespace: 'a', authorizationPolicies: [] }, FACTS)), ['no allow policies, allow'])
  t.same(messages(dry.evaluate({ namespace: 'a', authorizationPolicies: ['a/w'] }, FACTS)), [
    'dry-run: allow policy match: a/w',
    'no allow policies, allow',
  ])
})

void t.test('the dry runs told for a connection are few, wherever they come from', async (t) => {
  const set = new PolicySet()
  for (let i = 0; i < MAX_DRY_RUN_EVENTS; i++) {
    set.set({ ...deny(`g${i}`, 'Global', 'ns'), dryRun: true })
    set.set({ ...deny(`n${i}`, 'Namespace', 'ns'), dryRun: true })
  }
  const { events } = set.evaluate({ namespace: 'ns', authorizationPolicies: [] }, FACTS)
  t.equal(events.length, MAX_DRY_RUN_EVENTS + 1)
})

void t.test('a policy that comes again replaces the old one wholly, also in another scope', async (t) => {
  const set = new PolicySet()
  const target = { namespace: 'ns', authorizationPolicies: [] }
  const other = { namespace: 'other', authorizationPolicies: [] }
  const base = policy({ name: 'p', action: 'Deny', rules: [[[match({ principals: [presence] })]]] })
  const outcome = () => [target, other].map((one) => set.evaluate(one, FACTS).allowed)
  set.set({ ...base, scope: 'Global' })
  t.same(outcome(), [false, false])
  set.set({ ...base, scope: 'Namespace' })
  t.same(outcome(), [false, true])
  set.set({ ...base, scope: 'WorkloadSelector' })
  t.same(outcome(), [true, true])
  set.set({ ...base, scope: 'Global', dryRun: true })
  t.same(outcome(), [true, true])
  set.set({ ...base, scope: 'Global', rules: [[[match({ destinationPorts: [1] })]]] })
  t.same(outcome(), [true, true])
  set.set({ ...base, scope: 'Global', action: 'Allow' })
  t.same(outcome(), [true, true])
  set.set({ ...base, scope: 'Global', action: 'Allow', rules: [] })
  t.same(outcome(), [false, false])
  t.equal(set.size, 1)
  set.delete('ns/p')
  set.delete('ns/p')
  t.same(outcome(), [true, true])
  t.equal(set.size, 0)
})

void t.test('a change is told to the workloads that it may concern, wherever the policy was before', async (t) => {
  const set = new PolicySet()
  const ask = { namespace: 'a', authorizationPolicies: ['x/named', 'x/unknown'] }
  const changed = (change: () => void): boolean => {
    const since = set.generation
    change()
    t.equal(set.changedFor(ask, set.generation), false)
    return set.changedFor(ask, since)
  }
  for (const scope of ['Global', 'Namespace', 'WorkloadSelector'] as const) set.set(deny(`first-${scope}`, scope, 'a'))
  set.set(deny('first-WorkloadSelector', 'WorkloadSelector', 'x'))
  const elsewhere = (scope: Authorization['scope']) => deny('p', scope, 'b')
  t.equal(
    changed(() => set.set(elsewhere('Namespace'))),
    false,
    'of another namespace',
  )
  t.equal(
    changed(() => set.set(elsewhere('WorkloadSelector'))),
    false,
    'that is not named',
  )
  t.equal(
    changed(() => set.set(elsewhere('Global'))),
    true,
  )
  t.equal(
    changed(() => set.set(elsewhere('Global'))),
    true,
  )
  t.equal(
    changed(() => set.set(elsewhere('Namespace'))),
    true,
    'that was global',
  )
  t.equal(
    changed(() => set.set(elsewhere('Namespace'))),
    false,
  )
  t.equal(
    changed(() => set.set(deny('p', 'Namespace', 'a'))),
    true,
  )
  t.equal(
    changed(() => set.delete('a/p')),
    true,
  )
  t.equal(
    changed(() => set.delete('a/p')),
    false,
    'that had gone',
  )
  t.equal(
    changed(() => set.set(deny('named', 'WorkloadSelector', 'x'))),
    true,
    'one that is named',
  )
  t.equal(
    changed(() => set.set(deny('another', 'WorkloadSelector', 'x'))),
    false,
    'its neighbour',
  )
  t.equal(
    changed(() => set.delete('x/named')),
    true,
  )
  for (const scope of ['Global', 'Namespace'] as const)
    t.equal(
      changed(() => set.delete(`a/first-${scope}`)),
      true,
    )
  t.equal(
    changed(() => set.set(elsewhere('Namespace'))),
    false,
    'with nothing left that applies',
  )
})

void t.test('rules of the same hash are still told apart', async (t) => {
  // These two names give the rules' texts one FNV-1a hash.
  const [one, two] = ['n46wu', 'nbwfa'].map((name) =>
    policy({ name, action: 'Deny', rules: [[[match({ namespaces: [exact(name)] })]]] }),
  )
  if (!one || !two) throw new Error('two policies')
  const index = new RuleIndex()
  const target = { namespace: 'ns', authorizationPolicies: [] }
  const set = new PolicySet()
  for (const each of [one, two]) {
    set.set(each)
    index.add(each)
  }
  t.equal(index.places, 4, 'one hash, one slot, two rules')
  const told = () =>
    ['n46wu', 'nbwfa'].map(
      (namespace) => set.evaluate(target, { ...FACTS, identity: SpiffeId.of('td', namespace, 'a') }).policy,
    )
  t.same(told(), ['ns/n46wu', 'ns/nbwfa'])
  set.delete('ns/n46wu')
  t.same(told(), [undefined, 'ns/nbwfa'])
  set.set(one)
  t.same(told(), ['ns/n46wu', 'ns/nbwfa'])
})

void t.test('rules found by the same condition outlive each other', async (t) => {
  const set = new PolicySet()
  const target = { namespace: 'ns', authorizationPolicies: [] }
  for (const name of ['a', 'b', 'c']) {
    const toPort = match({ destinationPorts: [8080], notNamespaces: [exact(name)] })
    set.set(policy({ name, action: 'Deny', rules: [[[toPort]]] }))
  }
  const told = () => set.evaluate(target, FACTS).policy
  t.equal(told(), 'ns/a')
  set.delete('ns/a')
  t.equal(told(), 'ns/b')
  set.delete('ns/c')
  t.equal(told(), 'ns/b')
  set.delete('ns/b')
  t.equal(told(), undefined)
})

void t.test('nothing is left of policies that went', async (t) => {
  fc.assert(
    fc.property(fc.array(anyPolicy, { maxLength: 12 }), (policies) => {
      const index = new RuleIndex()
      for (const one of policies) index.add(one)
      for (const one of policies) index.remove(keyOf(one))
      return index.places === 0 && index.size === 0
    }),
    { numRuns: 300 },
  )
  const index = new RuleIndex()
  const rule = [[match({ destinationPorts: [80] })]]
  for (const name of ['a', 'b']) index.add(policy({ name, rules: [rule, rule, rule] }))
  t.equal(index.places, 3, 'a rule that several have, or one has twice, is kept once')
  index.remove('ns/a')
  t.equal(index.places, 3)
  index.remove('ns/b')
  t.equal(index.places, 0)
})

void t.test('equal rules of several policies are kept once and outlive each other', async (t) => {
  const set = new PolicySet()
  const target = { namespace: 'ns', authorizationPolicies: [] }
  const rule = [[match({ destinationPorts: [8080] })]]
  for (const name of ['b', 'a', 'c']) set.set(policy({ name, action: 'Deny', rules: [rule, rule] }))
  const told = () => set.evaluate(target, FACTS).policy
  t.equal(told(), 'ns/a')
  set.delete('ns/a')
  t.equal(told(), 'ns/b')
  set.set(policy({ name: 'b', action: 'Deny', rules: [] }))
  t.equal(told(), 'ns/c')
  set.delete('ns/c')
  t.equal(told(), undefined)
})

// Few and related values, so that random policies and connections do meet.
const word = fc.constantFrom('', 'a', 'b', 'ab', 'ba')
const anyIdentity = fc.tuple(fc.constantFrom('td', 'a'), word, word).map((parts) => SpiffeId.of(...parts))
const address4 = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.1.1', '138.0.0.1', '0.0.0.0', '255.255.255.255')
const address6 = fc.constantFrom('fd00:0:0:0:0:0:0:1', 'fd00:0:0:1:0:0:0:1', 'ffff:0:0:0:0:0:0:2', '0:0:0:0:0:0:0:1')
const anyAddress = fc.oneof(address4, address6)
const anyPort = fc.constantFrom(80, 8080, 0)
const anyFacts: fc.Arbitrary<ConnectionFacts> = fc.record({
  source: fc.record({ address: anyAddress, port: anyPort }),
  destination: fc.record({ address: anyAddress, port: anyPort }),
  identity: fc.option(anyIdentity, { nil: undefined }),
  network: fc.constant(''),
})
const anyText = (values: fc.Arbitrary<string>): fc.Arbitrary<StringMatch> =>
  fc.oneof(
    fc.constantFrom(exact, prefix, suffix).chain((make) => values.map(make)),
    fc.constant(presence),
  )
const anyPrincipal = fc.oneof(
  anyIdentity.map((id) => id.toString().slice('spiffe://'.length)),
  fc.constantFrom('td', 'td/ns/a', '/sa/b', '/ns/ab/sa/a', '', 'spiffe://td'),
)
const anyCidr: fc.Arbitrary<Cidr> = fc.oneof(
  fc.record({ address: address4, length: fc.constantFrom(0, 1, 8, 23, 24, 31, 32) }),
  fc.record({ address: address6, length: fc.constantFrom(0, 1, 16, 63, 64, 127, 128) }),
)
const several = <V>(values: fc.Arbitrary<V>): fc.Arbitrary<readonly V[]> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(values, { maxLength: 3 }) })
const anyAccount = fc.record({ namespace: word, serviceAccount: word })
const anyFullMatch: fc.Arbitrary<Match> = fc.record({
  namespaces: several(anyText(word)),
  notNamespaces: several(anyText(word)),
  principals: several(anyText(anyPrincipal)),
  notPrincipals: several(anyText(anyPrincipal)),
  serviceAccounts: several(anyAccount),
  notServiceAccounts: several(anyAccount),
  sourceIps: several(anyCidr),
  notSourceIps: several(anyCidr),
  destinationIps: several(anyCidr),
  notDestinationIps: several(anyCidr),
  destinationPorts: several(anyPort),
  notDestinationPorts: several(anyPort),
})
/** Most policies ask about one attribute or two: these meet connections, and each other, more often. */
const anyMatch = fc.oneof(
  anyFullMatch,
  fc.tuple(anyFullMatch, fc.subarray(Object.keys(EMPTY), { maxLength: 2 })).map(([full, names]): Match => ({
    ...EMPTY,
    ...Object.fromEntries(Object.entries(full).filter(([name]) => names.includes(name))),
  })),
)
const anyRules = fc.array(fc.array(fc.array(anyMatch, { maxLength: 3 }), { maxLength: 2 }), { maxLength: 3 })
const anyPolicy: fc.Arbitrary<Authorization> = fc.record({
  name: fc.constantFrom('p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8'),
  namespace: fc.constantFrom('', 'a', 'b'),
  scope: fc.constantFrom('Global', 'Namespace', 'WorkloadSelector'),
  action: fc.constantFrom('Allow', 'Deny'),
  dryRun: fc.boolean(),
  rules: anyRules,
})
const keyOf = (one: Authorization): string => `${one.namespace}/${one.name}`
const summary = (verdict: Verdict): string => [...messages(verdict), verdict.allowed ? 'allowed' : 'refused'].join('\n')

void t.test('the index answers as the plain rules do, for any policies and connections', async () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyPolicy, { maxLength: 12, selector: keyOf }),
      fc.array(anyFacts, { minLength: 1, maxLength: 5 }),
      (policies, connections) => {
        const compiled = compilePolicies(policies)
        return connections.every((facts) => summary(compiled.evaluate(facts)) === evaluatePlainly(policies, facts))
      },
    ),
    { numRuns: 1500 },
  )
})

void t.test('it does so by every way that it takes for many rules', async () => {
  const ways = [
    { few: 0, some: 0 },
    { few: 0, some: Infinity },
    { few: Infinity, some: Infinity },
  ]
  fc.assert(
    fc.property(
      fc.uniqueArray(
        anyPolicy.map((one) => ({ ...one, action: 'Deny' as const, dryRun: false })),
        { maxLength: 12, selector: keyOf },
      ),
      fc.array(anyFacts, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 12 }),
      (policies, connections, gone) => {
        const left = policies.slice(gone)
        return ways.every((way) => {
          const index = new RuleIndex(way)
          for (const one of policies) index.add(one)
          for (const one of policies.slice(0, gone)) index.remove(keyOf(one))
          return connections.every((facts) => {
            const prepared = prepareFacts(facts)
            return [left, left.filter((_, i) => i % 2 === 0)].every((these) => {
              const applicable = these === left ? undefined : new Set(these.map(keyOf))
              const matching = these.filter((one) => evaluatePlainly([one], facts).endsWith('refused')).map(keyOf)
              const found = prepared && [...index.matches(prepared, applicable, Infinity)]
              const first = prepared && index.firstMatch(prepared, applicable)
              return found?.sort().join() === matching.sort().join() && first === matching[0]
            })
          })
        })
      },
    ),
    { numRuns: 1500 },
  )
})

void t.test('what applies to a workload is gathered once, until its record or a policy changes', async (t) => {
  const set = new PolicySet()
  const names: string[] = []
  for (let i = 0; i < 100; i++) {
    set.set({ ...deny(`p${i}`, 'WorkloadSelector', 'a'), rules: [[[match({ destinationPorts: [i + 1] })]]] })
    names.push(`a/p${i}`)
  }
  let reads = 0
  const record = () => ({
    namespace: 'a',
    get authorizationPolicies() {
      reads++
      return names
    },
  })
  const target = record()
  t.equal(set.evaluate(target, FACTS).allowed, true)
  const once = reads
  for (let i = 0; i < 10; i++) set.evaluate(target, FACTS)
  t.equal(reads, once)
  set.set({ ...deny('p7', 'WorkloadSelector', 'a') })
  t.equal(set.evaluate(target, FACTS).policy, 'a/p7')
  set.delete('a/p7')
  t.match(set.evaluate(target, FACTS), { allowed: false, reason: 'policy a/p7 is not known' })
  t.equal(reads, once * 3)
  set.evaluate(record(), FACTS)
  t.equal(reads, once * 4)
})

void t.test('a set that policies came to and went from answers as one that has only those left', async () => {
  const change = fc.oneof({ weight: 3, arbitrary: anyPolicy }, { weight: 2, arbitrary: anyPolicy.map(keyOf) })
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 30 }),
      fc.array(anyFacts, { minLength: 1, maxLength: 3 }),
      fc.subarray(['a/p0', 'a/p1', 'b/p2', '/p3', 'b/none'], { maxLength: 2 }),
      (changes, connections, authorizationPolicies) => {
        const set = new PolicySet()
        const left = new Map<string, Authorization>()
        for (const one of changes) {
          if (typeof one === 'string') {
            set.delete(one)
            left.delete(one)
          } else {
            set.set(one)
            left.set(keyOf(one), one)
          }
        }
        const applicable = [...left.values()].filter(
          (one) =>
            one.scope === 'Global' ||
            (one.scope === 'Namespace' && one.namespace === 'a') ||
            authorizationPolicies.includes(keyOf(one)),
        )
        const target = { namespace: 'a', authorizationPolicies }
        const unknown = authorizationPolicies.find((key) => !left.has(key))
        return connections.every((facts) => {
          const plainly = unknown
            ? `policy is not known, refuse: ${unknown}\nrefused`
            : evaluatePlainly(applicable, facts)
          return summary(set.evaluate(target, facts)) === plainly
        })
      },
    ),
    { numRuns: 1000 },
  )
})

/** Ten rules, each for one client. */
function tenRules(i: number): Authorization['rules'] {
  const client = (r: number): Cidr => ({ address: `10.${i >> 8}.${i & 255}.${r}`, length: 32 })
  return Array.from({ length: 10 }, (_, r) => [[match({ sourceIps: [client(r)], destinationPorts: [80] })]])
}

function from(address: string): ConnectionFacts {
  return { ...FACTS, source: { address, port: 1 }, destination: { address: '10.99.0.1', port: 80 } }
}

void t.test('2,000 policies with 20,000 rules are answered for, one by one added and removed', async (t) => {
  const set = new PolicySet()
  const target = { namespace: 'ns', authorizationPolicies: [] }
  for (let i = 0; i < 2000; i++) set.set(policy({ name: `deny-${i}`, action: 'Deny', rules: tenRules(i) }))
  t.equal(set.evaluate(target, from('10.1.2.9')).policy, 'ns/deny-258')
  t.equal(set.evaluate(target, from('10.1.2.10')).allowed, true)
  for (let i = 0; i < 2000; i++) if (i !== 258) set.delete(`ns/deny-${i}`)
  t.equal(set.evaluate(target, from('10.1.3.9')).allowed, true)
  t.equal(set.evaluate(target, from('10.1.2.9')).allowed, false)
})
