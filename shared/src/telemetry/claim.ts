/** Says of a series that its labels hold what a peer calls itself, unverified. */
export interface Claim {
  /** Who says so: the verified identity of the peer; empty where it has none. */
  readonly by: string
  /** The same text for all series of connections between the same two ends, whichever the metric and the flag. */
  readonly ends: string
  /** The label text under which is counted what the peer may not have series of its own for. */
  readonly instead: string
}
