/** What can be in one PlacedSet at a time. */
export interface Placed {
  /** Kept by the set; NOWHERE outside. */
  place: number
}

/** The place of what is in no PlacedSet. */
export const NOWHERE = -1

/**
 * A set of objects that know their place in it, for what comes and goes with every connection. In no order.
 *
 * Node's Set and Map make a new table whenever as much was added and deleted as fits, and the old table goes on pointing to the
 * new one and to all that it held. Once the collector has moved one such table to the old generation, all that follow are kept
 * alive by it until the next full collection: every object of every connection outlived the young generation, where collections
 * took 3 to 6 ms each.
 */
export class PlacedSet<T extends Placed> {
  readonly #members: T[] = []

  get size(): number {
    return this.#members.length
  }

  has(member: T): boolean {
    return member.place >= 0
  }

  add(member: T): void {
    if (member.place >= 0) return
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** False where it is not in the set. */
  delete(member: T): boolean {
    const { place } = member
    if (place < 0) return false
    const last = this.#members.pop()
    if (last !== undefined && last !== member) {
      last.place = place
      this.#members[place] = last
    }
    member.place = NOWHERE
    return true
  }

  /** A copy, so that members may be added and deleted meanwhile. */
  list(): T[] {
    return [...this.#members]
  }
}
