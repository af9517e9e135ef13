import t from 'tap'
import type { Authorization } from '../mesh/index.ts'
import type { Cidr } from '../ip/index.ts'
import { MAX_DRY_RUN_EVENTS, PolicySet, type ConnectionFacts } from './index.ts'
import { exact, FACTS, match, messages, PLAINTEXT, policy, presence } from './policy-fixture.ts'

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
  const steps: readonly (readonly [what: string, change: () => void, concerns: boolean])[] = [
    ['of another namespace', () => set.set(elsewhere('Namespace')), false],
    ['that is not named', () => set.set(elsewhere('WorkloadSelector')), false],
    ['that becomes global', () => set.set(elsewhere('Global')), true],
    ['that is global', () => set.set(elsewhere('Global')), true],
    ['that was global', () => set.set(elsewhere('Namespace')), true],
    ['that was elsewhere already', () => set.set(elsewhere('Namespace')), false],
    ['of its own namespace', () => set.set(deny('p', 'Namespace', 'a')), true],
    ['that goes', () => set.delete('a/p'), true],
    ['that had gone', () => set.delete('a/p'), false],
    ['one that is named', () => set.set(deny('named', 'WorkloadSelector', 'x')), true],
    ['its neighbour', () => set.set(deny('another', 'WorkloadSelector', 'x')), false],
    ['one that is named goes', () => set.delete('x/named'), true],
    ['the global one goes', () => set.delete('a/first-Global'), true],
    ['that of its namespace goes', () => set.delete('a/first-Namespace'), true],
    ['with nothing left that applies', () => set.set(elsewhere('Namespace')), false],
  ]
  for (const [what, change, concerns] of steps) t.equal(changed(change), concerns, what)
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
