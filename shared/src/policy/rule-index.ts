import { policyKey, type Authorization } from '../mesh/index.ts'
import { compileRule, ruleHolds } from './compiled-rule.ts'
import { keysOf, type IndexKey, type SlotValue } from './index-keys.ts'
import type { PreparedFacts } from './prepared-facts.ts'
import { RuleInterning, type SharedRule } from './rule-interning.ts'

/** Which of the indexed policies apply to a workload, by `namespace/name`; undefined: all. */
export type Applicable = ReadonlySet<string> | undefined

interface Bucket {
  readonly slot: Slot | undefined
  readonly value: SlotValue
  readonly rules: SharedRule[]
}

/** Conditions that read the same of a connection. A handful: one per attribute and length of a prefix, suffix or CIDR. */
interface Slot {
  readonly name: string
  readonly read: IndexKey['read']
  readonly buckets: Map<SlotValue, Bucket>
}

/**
 * Rules of policies of one kind, found by what a connection must be for them to hold, so that of 100,000 rules a
 * connection is compared with the few that can concern it (10,000 policies × 10 rules: about 10 µs). The index only leaves
 * out rules that cannot hold; whether one does is always decided by the rule itself. Grows and shrinks policy by policy.
 */
export class RuleIndex {
  /** By policy; rules that can never hold are left out. */
  readonly #policies = new Map<string, readonly SharedRule[]>()
  readonly #interning = new RuleInterning()
  /** Where each rule is kept. */
  readonly #places = new Map<SharedRule, readonly Bucket[]>()
  readonly #slots = new Map<string, Slot>()
  /** Rules with nothing to find them by. */
  readonly #rest: Bucket = { slot: undefined, value: 0, rules: [] }

  /** Policies in it, those without rules included. */
  get size(): number {
    return this.#policies.size
  }

  /** Places in which rules are kept; 0 when all policies have gone. */
  get places(): number {
    let places = this.#rest.rules.length + this.#interning.size
    for (const { buckets } of this.#slots.values()) {
      places++
      for (const { rules } of buckets.values()) places += rules.length
    }
    return places
  }

  has(key: string): boolean {
    return this.#policies.has(key)
  }

  /** Replaces a policy of the same key. */
  add(policy: Authorization): void {
    const key = policyKey(policy)
    this.remove(key)
    const rules: SharedRule[] = []
    for (const rule of policy.rules) {
      const shared = this.#interning.intern(rule)
      if (shared.owners.at(-1) === key) continue
      if (shared.owners.length === 0) this.#place(shared)
      shared.owners.push(key)
      rules.push(shared)
    }
    this.#policies.set(key, rules)
  }

  remove(key: string): void {
    for (const shared of this.#policies.get(key) ?? []) {
      takeOut(shared.owners, key)
      if (shared.owners.length === 0) this.#displace(shared)
    }
    this.#policies.delete(key)
  }

  /** The key of the matching policy that is first in the alphabet, whatever order they came in. */
  firstMatch(facts: PreparedFacts, applicable: Applicable): string | undefined {
    let first: string | undefined
    for (const bucket of this.#met(facts)) {
      for (const shared of bucket.rules) {
        const candidate = firstOwner(shared, applicable, first)
        if (candidate !== undefined && holds(shared, facts)) first = candidate
      }
    }
    return first
  }

  /** Keys of the matching policies in no order, at most `limit`. */
  matches(facts: PreparedFacts, applicable: Applicable, limit: number): ReadonlySet<string> {
    const found = new Set<string>()
    for (const bucket of this.#met(facts)) {
      for (const shared of bucket.rules) {
        if (!holds(shared, facts)) continue
        for (const owner of shared.owners) {
          if (found.size >= limit) return found
          if (!applicable || applicable.has(owner)) found.add(owner)
        }
      }
    }
    return found
  }

  /** The buckets whose condition the connection meets. */
  #met(facts: PreparedFacts): readonly Bucket[] {
    const met = [this.#rest]
    for (const { read, buckets } of this.#slots.values()) {
      const value = read(facts)
      const bucket = value === undefined ? undefined : buckets.get(value)
      if (bucket) met.push(bucket)
    }
    return met
  }

  #place(shared: SharedRule): void {
    const keys = keysOf(shared.rule, (some) => this.#cost(some))
    if (keys === 'never') return
    const buckets = keys === 'none' ? [this.#rest] : [...new Set(keys.map((key) => this.#bucket(key)))]
    for (const { rules } of buckets) rules.push(shared)
    this.#places.set(shared, buckets)
  }

  #displace(shared: SharedRule): void {
    for (const { slot, value, rules } of this.#places.get(shared) ?? []) {
      takeOut(rules, shared)
      if (rules.length > 0 || !slot) continue
      slot.buckets.delete(value)
      if (slot.buckets.size === 0) this.#slots.delete(slot.name)
    }
    this.#places.delete(shared)
    this.#interning.forget(shared)
  }

  /** How many rules more are looked at, over all connections, when one is added under these keys. */
  #cost(keys: readonly IndexKey[]): number {
    let cost = 0
    for (const { slot, value, weight } of keys) {
      cost += weight * (1 + (this.#slots.get(slot)?.buckets.get(value)?.rules.length ?? 0))
    }
    return cost
  }

  #bucket({ slot: name, read, value }: IndexKey): Bucket {
    const slot = this.#slots.get(name) ?? { name, read, buckets: new Map<SlotValue, Bucket>() }
    this.#slots.set(name, slot)
    const found = slot.buckets.get(value)
    if (found) return found
    const bucket = { slot, value, rules: [] }
    slot.buckets.set(value, bucket)
    return bucket
  }
}

/** Removes one element without keeping the order. */
function takeOut<Element>(list: Element[], element: Element): void {
  const at = list.indexOf(element)
  if (at < 0) return
  const last = list.pop()
  if (last !== undefined && at < list.length) list[at] = last
}

/** The first applicable owner in the alphabet that comes before `limit`. */
function firstOwner({ owners }: SharedRule, applicable: Applicable, limit: string | undefined): string | undefined {
  let first: string | undefined
  let before = limit
  for (const owner of owners) {
    if ((before !== undefined && owner >= before) || (applicable && !applicable.has(owner))) continue
    first = owner
    before = owner
  }
  return first
}

function holds(shared: SharedRule, facts: PreparedFacts): boolean {
  shared.compiled ??= compileRule(shared.rule)
  return ruleHolds(shared.compiled, facts)
}
