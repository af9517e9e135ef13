// Whatever the index does to be fast, it says what the plain rules say: for any policies and connections, by every way.
import * as fc from 'fast-check'
import t from 'tap'
import { policyKey, type Authorization } from '../mesh/index.ts'
import { anyFacts, anyPolicy } from './any-policy-fixture.ts'
import { evaluatePlainly } from './evaluate-plainly-fixture.ts'
import { PolicySet, type Verdict } from './index.ts'
import { compilePolicies, messages } from './policy-fixture.ts'
import { prepareFacts } from './prepared-facts.ts'
import { RuleIndex } from './rule-index.ts'

const summary = (verdict: Verdict): string => [...messages(verdict), verdict.allowed ? 'allowed' : 'refused'].join('\n')

void t.test('the index answers as the plain rules do, for any policies and connections', async () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyPolicy, { maxLength: 12, selector: policyKey }),
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
        { maxLength: 12, selector: policyKey },
      ),
      fc.array(anyFacts, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 12 }),
      (policies, connections, gone) => {
        const left = policies.slice(gone)
        return ways.every((way) => {
          const index = new RuleIndex(way)
          for (const one of policies) index.add(one)
          for (const one of policies.slice(0, gone)) index.remove(policyKey(one))
          return connections.every((facts) => {
            const prepared = prepareFacts(facts)
            return [left, left.filter((_, i) => i % 2 === 0)].every((these) => {
              const applicable = these === left ? undefined : new Set(these.map(policyKey))
              const matching = these.filter((one) => evaluatePlainly([one], facts).endsWith('refused')).map(policyKey)
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

void t.test('a set that policies came to and went from answers as one that has only those left', async () => {
  const change = fc.oneof({ weight: 3, arbitrary: anyPolicy }, { weight: 2, arbitrary: anyPolicy.map(policyKey) })
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
            left.set(policyKey(one), one)
          }
        }
        const applicable = [...left.values()].filter(
          (one) =>
            one.scope === 'Global' ||
            (one.scope === 'Namespace' && one.namespace === 'a') ||
            authorizationPolicies.includes(policyKey(one)),
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
