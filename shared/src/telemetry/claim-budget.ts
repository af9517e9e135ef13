import type { Claim } from './claim.ts'
import type { Log } from '../log/index.ts'

export interface ClaimBudgetOptions {
  readonly log: Log
  /** Pairs of ends of one peer. */
  readonly maxEndsPerPeer: number
  /** Label text of all claims together, in characters. */
  readonly maxCharacters: number
}

/** Series that a peer can bring about with one pair of ends: opened, received, sent; closed with three flags; failed with two. */
const SERIES_OF_ENDS = 8

/**
 * How much peers may fill the metrics with what they call themselves. Granted once, a pair of ends stays granted: counters
 * that vanish and come back at 0 would read as a restart. Bounded by itself.
 */
export class ClaimBudget {
  readonly #options: ClaimBudgetOptions
  readonly #granted = new Map<string, { readonly ends: Set<string>; isFull: boolean }>()
  #charactersLeft: number
  #isFull = false

  constructor(options: ClaimBudgetOptions) {
    this.#options = options
    this.#charactersLeft = options.maxCharacters
  }

  /** Whether the claim may have series of its own. Says in the log, once, that a peer may have no more. */
  admits({ by, ends }: Claim): boolean {
    const { maxEndsPerPeer, log } = this.#options
    const peer = this.#granted.get(by)
    if (peer?.ends.has(ends)) return true
    if (peer && peer.ends.size >= maxEndsPerPeer) {
      if (!peer.isFull) log.warn(TOO_MANY_NAMES, { peer: by, limit: maxEndsPerPeer })
      peer.isFull = true
      return false
    }
    const characters = ends.length * SERIES_OF_ENDS
    if (characters > this.#charactersLeft) {
      if (!this.#isFull) log.warn(TOO_LONG, { peer: by, limit: this.#options.maxCharacters })
      this.#isFull = true
      return false
    }
    this.#charactersLeft -= characters
    if (peer) peer.ends.add(ends)
    else this.#granted.set(by, { ends: new Set([ends]), isFull: false })
    return true
  }
}

const TOO_MANY_NAMES =
  'a peer that the mesh does not know calls itself too many names: further ones are counted as "other"'
const TOO_LONG = 'peers that the mesh does not know call themselves too many names: further ones are counted as "other"'
