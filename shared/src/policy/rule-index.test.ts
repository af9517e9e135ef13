import * as fc from 'fast-check'
import t from 'tap'
import { SpiffeId } from '../identity/index.ts'
import { policyKey, type Authorization, type Match } from '../mesh/index.ts'
import { anyPolicy } from './any-policy-fixture.ts'
import { PolicySet } from './index.ts'
import { prepareFacts } from './prepared-facts.ts'
import { RuleIndex } from './rule-index.ts'
import { cidr, exact, FACTS, match, policy, prefix, suffix } from './policy-fixture.ts'

const POLICIES = 1_000
const RULES = 10
const CLIENT = 'td/ns/namespace/sa/account'

/** How a policy of many is named: in the order of the alphabet. */
function nameOf(p: number): string {
  return `p${String(p).padStart(4, '0')}`
}

/** An index of policies of 10 rules each, and what it answers for the client, with how many rules were looked at. */
function asked(rule: (p: number, r: number) => Authorization['rules'][number], policies = POLICIES) {
  const index = new RuleIndex()
  for (let p = 0; p < policies; p++) {
    const rules = Array.from({ length: RULES }, (_, r) => rule(p, r))
    index.add(policy({ name: nameOf(p), action: 'Deny', rules }))
  }
  const facts = prepareFacts(FACTS)
  if (!facts) throw new Error('no facts')
  return { first: index.firstMatch(facts, undefined), looks: index.looks }
}

const one = (some: Partial<Match>): Authorization['rules'][number] => [[match(some)]]

void t.test('of 10,000 rules that one of their conditions excludes none is looked at', async (t) => {
  const shapes: Readonly<Record<string, (p: number, r: number) => Authorization['rules'][number]>> = {
    principals: (p, r) => one({ notPrincipals: [exact(CLIENT), exact(`x${p}-${r}`)] }),
    'prefixes and suffixes': (p, r) =>
      one({ notPrincipals: [r % 2 ? prefix('td/') : suffix('/account'), exact(`x${p}-${r}`)] }),
    'two clauses': (p, r) => [
      [match({ notDestinationPorts: [8080, p] })],
      [match({ notSourceIps: [cidr('127.0.0.0/8'), cidr(`1.${p >> 8}.${p & 255}.${r}`)] })],
    ],
    'one service account': (p, r) =>
      one({
        serviceAccounts: [{ namespace: 'namespace', serviceAccount: 'account' }],
        notDestinationPorts: [8080, 10_000 + p * RULES + r],
      }),
    'either of two conditions': (p, r) =>
      r % 2
        ? one({ notDestinationPorts: [8080, p * RULES + r + 10_000] })
        : one({ notNamespaces: [exact('namespace'), exact(`x${p}-${r}`)] }),
    'ports of which the common one is another': (p, r) =>
      one({ principals: [exact(CLIENT)], destinationPorts: [5432, 10_000 + p * RULES + r] }),
    alternatives: (p, r) => [
      [
        match({ notDestinationPorts: [8080, 10_000 + p] }),
        match({ notDestinationIps: [cidr('127.0.0.2'), cidr(`1.${p >> 8}.${p & 255}.${r}`)] }),
      ],
    ],
  }
  for (const [what, rule] of Object.entries(shapes)) t.same(asked(rule), { first: undefined, looks: 0 }, what)
})

void t.test('of 10,000 policies with 100,000 rules only those are looked at that may hold', async (t) => {
  for (const [what, last, wanted] of [
    ['nobody is meant', '10.0.0.0', { first: undefined, looks: 0 }],
    ['one client is meant', FACTS.source.address, { first: 'ns/p9999', looks: 1 }],
  ] as const) {
    const clientOf = (p: number, r: number) => (p === 9_999 && r === 9 ? last : `10.${p >> 8}.${p & 255}.${r}`)
    const rule = (p: number, r: number) => one({ sourceIps: [cidr(clientOf(p, r))], destinationPorts: [8080] })
    t.same(asked(rule, 10_000), wanted, what)
  }
})

void t.test('of 10,000 rules that all hold the first in the alphabet is found at once', async (t) => {
  t.same(
    asked((p, r) => one({ notPrincipals: [exact(`x${p}-${r}`)] })),
    { first: 'ns/p0000', looks: 1 },
  )
})

void t.test('an excluded rule does not hide those that hold', async (t) => {
  const last = asked((p, r) => one({ notPrincipals: [exact(p === 999 ? 'somebody' : CLIENT), exact(`x${p}-${r}`)] }))
  t.equal(last.first, 'ns/p0999')
  const mostly = asked((p, r) => one({ notPrincipals: [exact(p >= 50 ? 'somebody' : CLIENT), exact(`x${p}-${r}`)] }))
  t.equal(mostly.first, 'ns/p0050')
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

void t.test('nothing is left of policies that went', async (t) => {
  fc.assert(
    fc.property(fc.array(anyPolicy, { maxLength: 12 }), (policies) => {
      const index = new RuleIndex()
      for (const one of policies) index.add(one)
      for (const one of policies) index.remove(policyKey(one))
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
