import { IdSet } from './id-set.ts'
import type { IndexKey, SlotValue } from './index-keys.ts'
import type { PreparedFacts } from './prepared-facts.ts'

/** Conditions that read the same of a connection. A handful: one per attribute and length of a prefix, suffix or CIDR. */
interface Slot {
  readonly name: string
  readonly read: IndexKey['read']
  readonly conditions: Map<SlotValue, Condition>
}

/** The rules of one condition. */
export interface Condition {
  readonly ids: IdSet
  readonly slot: Slot
  readonly value: SlotValue
}

/** Rules by conditions on a connection: those of all conditions that a connection meets cost one map read for each slot. */
export class ConditionTable {
  readonly #slots = new Map<string, Slot>()

  /** Slots, and places of rules in them; 0 when all have gone. */
  get places(): number {
    let places = 0
    for (const { conditions } of this.#slots.values()) {
      places++
      for (const { ids } of conditions.values()) places += ids.size
    }
    return places
  }

  /** Rules of a condition. */
  count({ slot, value }: IndexKey): number {
    return this.#slots.get(slot)?.conditions.get(value)?.ids.size ?? 0
  }

  /** Answers where the rule is kept now, for `remove`. */
  add(keys: readonly IndexKey[], id: number): readonly Condition[] {
    const conditions = [...new Set(keys.map((key) => this.#condition(key)))]
    for (const { ids } of conditions) ids.add(id)
    return conditions
  }

  remove(conditions: readonly Condition[], id: number): void {
    for (const { ids, slot, value } of conditions) {
      ids.delete(id)
      if (ids.size > 0) continue
      slot.conditions.delete(value)
      if (slot.conditions.size === 0) this.#slots.delete(slot.name)
    }
  }

  /** The rules of each condition that the connection meets. */
  met(facts: PreparedFacts): readonly IdSet[] {
    const met: IdSet[] = []
    for (const { read, conditions } of this.#slots.values()) {
      const value = read(facts)
      const condition = value === undefined ? undefined : conditions.get(value)
      if (condition) met.push(condition.ids)
    }
    return met
  }

  #condition({ slot: name, read, value }: IndexKey): Condition {
    const slot = this.#slots.get(name) ?? { name, read, conditions: new Map<SlotValue, Condition>() }
    this.#slots.set(name, slot)
    const found = slot.conditions.get(value)
    if (found) return found
    const condition = { ids: new IdSet(), slot, value }
    slot.conditions.set(value, condition)
    return condition
  }
}
