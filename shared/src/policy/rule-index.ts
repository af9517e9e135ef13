import { policyKey, type Authorization } from '../mesh/index.ts'
import { compileRule, ruleHolds } from './compiled-rule.ts'
import { ConditionTable, type Condition } from './condition-table.ts'
import { clear, countMarked, IdSet, isMarked, markedIds, wordsFor } from './id-set.ts'
import { exclusionsOf, waysOf, type IndexKey } from './index-keys.ts'
import type { PreparedFacts } from './prepared-facts.ts'
import { RuleInterning, type SharedRule } from './rule-interning.ts'
import { SortedKeys } from './sorted-keys.ts'
import { splitRule } from './split-rule.ts'

/** Which of the indexed policies apply to a workload, by `namespace/name`; undefined: all. */
export type Applicable = ReadonlySet<string> | undefined

/** Where a rule is kept. */
interface Place {
  readonly shared: SharedRule
  /** A connection for which it holds meets one of them; none: it is among the rest. */
  readonly found: readonly Condition[]
  /** The same by another of its conditions; none: there is no other. */
  readonly required: readonly Condition[]
  /** A connection that meets one of them is none for which it holds. */
  readonly excluded: readonly Condition[]
}

/** From how many rules on it is worth to find out more about them before they are looked at. */
export interface Thresholds {
  /** More than these: which of them are excluded. */
  readonly few: number
  /** More than these: which is the first in the alphabet. Most of so many hold, as a rule, so that it is soon found. */
  readonly some: number
}

/** Owners of a rule that are compared sooner than the rule is looked at. */
const FEW_OWNERS = 8

/**
 * Rules of policies of one kind, found by what a connection must be, and must not be, for them to hold, so that of 100,000
 * rules a connection is compared with the few that can concern it (10,000 policies × 10 rules: about 10 µs; where all of
 * them are excluded by negative conditions about 20 µs). The index only leaves out rules that cannot hold; whether one does
 * is always decided by the rule itself. Grows and shrinks policy by policy.
 */
export class RuleIndex {
  readonly #policies = new Map<string, readonly SharedRule[]>()
  readonly #sortedKeys = new SortedKeys()
  readonly #interning = new RuleInterning()
  /** By number of the rule; numbers of rules that went are given again. */
  readonly #places: (Place | undefined)[] = []
  readonly #freeIds: number[] = []
  readonly #found = new ConditionTable()
  /** Rules that are found by one condition and require another. */
  readonly #required = new ConditionTable()
  readonly #requiring = new IdSet()
  readonly #excluded = new ConditionTable()
  /** Rules with nothing to find them by. */
  readonly #rest = new IdSet()
  /** One bit for each rule, of use during one question. */
  #marked = new Uint32Array(0)
  readonly #thresholds: Thresholds
  #looks = 0

  constructor(thresholds: Thresholds = { few: 64, some: 8_192 }) {
    this.#thresholds = thresholds
  }

  /** How many rules were looked at so far: the work of all questions. */
  get looks(): number {
    return this.#looks
  }

  /** Policies in it, those without rules included. */
  get size(): number {
    return this.#policies.size
  }

  /** Places in which rules are kept; 0 when all policies have gone. */
  get places(): number {
    const tables = this.#found.places + this.#required.places + this.#excluded.places
    return this.#rest.size + this.#requiring.size + this.#interning.size + tables
  }

  has(key: string): boolean {
    return this.#policies.has(key)
  }

  /** Replaces a policy of the same key. */
  add(policy: Authorization): void {
    const key = policyKey(policy)
    this.remove(key)
    const rules: SharedRule[] = []
    for (const rule of policy.rules.flatMap(splitRule)) {
      const shared = this.#interning.intern(rule)
      if (shared.owners.at(-1) === key) continue
      if (shared.owners.length === 0) this.#place(shared)
      shared.owners.push(key)
      rules.push(shared)
    }
    this.#policies.set(key, rules)
    this.#sortedKeys.add(key)
  }

  remove(key: string): void {
    for (const shared of this.#policies.get(key) ?? []) {
      takeOut(shared.owners, key)
      if (shared.owners.length === 0) this.#displace(shared)
    }
    if (this.#policies.delete(key)) this.#sortedKeys.delete(key)
  }

  /** The key of the matching policy that is first in the alphabet, whatever order they came in. */
  firstMatch(facts: PreparedFacts, applicable: Applicable): string | undefined {
    const candidates = this.#candidates(facts)
    if (!candidates) return this.#matchesInOrder(facts, applicable, 1)[0]
    let first: string | undefined
    for (const id of candidates) {
      const shared = this.#places[id]?.shared
      if (!shared) continue
      // What costs less comes first.
      const isKnown = shared.owners.length > FEW_OWNERS
      if (isKnown && !this.#holds(shared, facts)) continue
      const candidate = firstOwner(shared, applicable, first)
      if (candidate !== undefined && (isKnown || this.#holds(shared, facts))) first = candidate
    }
    return first
  }

  /** Keys of the matching policies in no order, at most `limit`. */
  matches(facts: PreparedFacts, applicable: Applicable, limit: number): ReadonlySet<string> {
    const candidates = this.#candidates(facts)
    if (!candidates) return new Set(this.#matchesInOrder(facts, applicable, limit))
    const found = new Set<string>()
    for (const id of candidates) {
      const shared = this.#places[id]?.shared
      if (!shared || !this.#holds(shared, facts)) continue
      for (const owner of shared.owners) {
        if (found.size >= limit) return found
        if (!applicable || applicable.has(owner)) found.add(owner)
      }
    }
    return found
  }

  #holds(shared: SharedRule, facts: PreparedFacts): boolean {
    this.#looks++
    shared.compiled ??= compileRule(shared.rule)
    return ruleHolds(shared.compiled, facts)
  }

  /** The rules that can hold; undefined where they are many: then those whose bit is set in #marked. */
  #candidates(facts: PreparedFacts): readonly number[] | undefined {
    const met = [this.#rest, ...this.#found.met(facts)]
    let count = 0
    for (const { size } of met) count += size
    const { few, some } = this.#thresholds
    if (count <= few) return met.flatMap(({ ids }) => ids)
    const words = wordsFor(this.#places.length)
    if (this.#marked.length < words) this.#marked = new Uint32Array(words * 2)
    const marked = this.#marked.subarray(0, words)
    marked.fill(0)
    for (const ids of met) ids.markIn(marked)
    this.#requiring.clearExcept(marked, this.#required.met(facts))
    for (const ids of this.#excluded.met(facts)) ids.clearIn(marked)
    return count > some && countMarked(marked) > some ? undefined : markedIds(marked)
  }

  /** The first of the matching policies in the alphabet, by the rules marked. */
  #matchesInOrder(facts: PreparedFacts, applicable: Applicable, limit: number): readonly string[] {
    const found: string[] = []
    for (const key of this.#sortedKeys) {
      if (applicable && !applicable.has(key)) continue
      const matches = this.#policies.get(key)?.some((shared) => this.#holdsMarked(shared, facts)) ?? false
      if (matches && found.push(key) >= limit) break
    }
    return found
  }

  /** A rule that does not hold is not asked again for its other owners. */
  #holdsMarked(shared: SharedRule, facts: PreparedFacts): boolean {
    const { id } = shared
    if (id === undefined || !isMarked(this.#marked, id)) return false
    if (this.#holds(shared, facts)) return true
    clear(this.#marked, id)
    return false
  }

  #place(shared: SharedRule): void {
    const ways = waysOf(shared.rule, (some) => this.#cost(some))
    if (ways === 'never') return
    const id = this.#freeIds.pop() ?? this.#places.length
    shared.id = id
    const [cheapest = [], next = []] = ways
    const found = this.#found.add(cheapest, id)
    if (found.length === 0) this.#rest.add(id)
    const required = this.#required.add(next, id)
    if (required.length > 0) this.#requiring.add(id)
    this.#places[id] = { shared, found, required, excluded: this.#excluded.add(exclusionsOf(shared.rule), id) }
  }

  #displace(shared: SharedRule): void {
    this.#interning.forget(shared)
    const { id } = shared
    const place = id === undefined ? undefined : this.#places[id]
    if (id === undefined || !place) return
    this.#found.remove(place.found, id)
    if (place.found.length === 0) this.#rest.delete(id)
    this.#required.remove(place.required, id)
    if (place.required.length > 0) this.#requiring.delete(id)
    this.#excluded.remove(place.excluded, id)
    this.#places[id] = undefined
    shared.id = undefined
    this.#freeIds.push(id)
    if (this.#freeIds.length < this.#places.length) return
    this.#freeIds.length = 0
    this.#places.length = 0
  }

  /** How many rules more are looked at, over all connections, when one is added under these keys. */
  #cost(keys: readonly IndexKey[]): number {
    let cost = 0
    for (const key of keys) cost += key.weight * (1 + this.#found.count(key))
    return cost
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
