import type { Workload } from './workload.ts'

/** Several workloads of one key and rank: the newest counts. What went leaves a gap, so that nothing has to be moved. */
interface Rivals {
  readonly list: (Workload | undefined)[]
  readonly places: Map<Workload, number>
}

/**
 * Which workload a key means where several claim it: those of the highest rank, of these the newest. Adding and removing
 * cost the same however many claim a key. Nearly every key has one claimant, which is kept without anything around it.
 */
export class Claimants {
  readonly #rank: (workload: Workload) => number
  readonly #sole = new Map<string, Workload>()
  /** By rank; a key is here or among the sole ones. */
  readonly #contested = new Map<string, Map<number, Rivals>>()

  constructor(rank: (workload: Workload) => number) {
    this.#rank = rank
  }

  get(key: string): Workload | undefined {
    const sole = this.#sole.get(key)
    if (sole) return sole
    let best: Rivals | undefined
    let bestRank = Number.NEGATIVE_INFINITY
    for (const [rank, rivals] of this.#contested.get(key) ?? []) {
      if (rank < bestRank) continue
      best = rivals
      bestRank = rank
    }
    return best?.list.at(-1)
  }

  /** The caller adds a workload to a key once. */
  add(key: string, workload: Workload): void {
    const contested = this.#contested.get(key)
    if (contested) {
      this.#join(contested, workload)
      return
    }
    const sole = this.#sole.get(key)
    if (!sole) {
      this.#sole.set(key, workload)
      return
    }
    const rivals = new Map<number, Rivals>()
    this.#join(rivals, sole)
    this.#join(rivals, workload)
    this.#sole.delete(key)
    this.#contested.set(key, rivals)
  }

  /** Nothing where it is not there. */
  remove(key: string, workload: Workload): void {
    if (this.#sole.get(key) === workload) this.#sole.delete(key)
    const contested = this.#contested.get(key)
    const rank = this.#rank(workload)
    const rivals = contested?.get(rank)
    if (!contested || !rivals) return
    leave(rivals, workload)
    if (rivals.places.size === 0) contested.delete(rank)
    if (contested.size === 0) this.#contested.delete(key)
  }

  #join(contested: Map<number, Rivals>, workload: Workload): void {
    const rank = this.#rank(workload)
    const rivals = contested.get(rank) ?? { list: [], places: new Map<Workload, number>() }
    contested.set(rank, rivals)
    rivals.places.set(workload, rivals.list.push(workload) - 1)
  }
}

/** The last of the list is never a gap, and at most half of it are. */
function leave({ list, places }: Rivals, workload: Workload): void {
  const place = places.get(workload)
  if (place === undefined) return
  places.delete(workload)
  list[place] = undefined
  while (list.length > 0 && list.at(-1) === undefined) list.pop()
  if (list.length <= 2 * places.size) return
  list.length = 0
  for (const left of places.keys()) places.set(left, list.push(left) - 1)
}
