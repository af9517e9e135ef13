import type { Clock } from '@ambit/shared/clock'
import type { Family } from '@ambit/shared/ip'

const REMEMBERED_MS = 1_000

export interface ForwardingMemoryOptions {
  readonly clock: Clock
  /** Whether the pod's kernel forwards packets, as it is now. */
  readonly ask: (family: Family) => boolean
}

/**
 * Whether a pod's kernel forwards packets, asked at most once a second: of 64 interfaces it takes 2 ms in which the worker serves
 * nobody, and whoever is on the pod's link could have it asked with every packet.
 */
export class ForwardingMemory {
  readonly #options: ForwardingMemoryOptions
  readonly #known = new Map<Family, { readonly answer: boolean; readonly until: number }>()

  constructor(options: ForwardingMemoryOptions) {
    this.#options = options
  }

  isForwarding(family: Family): boolean {
    const { clock, ask } = this.#options
    const known = this.#known.get(family)
    if (known && clock.monotonicMs() < known.until) return known.answer
    const answer = ask(family)
    this.#known.set(family, { answer, until: clock.monotonicMs() + REMEMBERED_MS })
    return answer
  }
}
