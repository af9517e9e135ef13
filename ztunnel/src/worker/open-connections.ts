import { PlacedSet, type Placed } from '@ambit/shared/collections'
import type { ConnectionFacts } from '@ambit/shared/policy'
import type { ConnectionSummary, PodConnections } from '../messages.ts'
import { ConnectionFailure } from './connection-failure.ts'

/** One connection that is open now; whoever adds it removes it when it ends. */
export interface TrackedConnection extends Placed {
  readonly direction: 'inbound' | 'outbound'
  /** For the config dump. */
  readonly summarise: () => ConnectionSummary
  /** What policy is asked about; outbound connections are judged at the other end. */
  readonly facts: ConnectionFacts | undefined
  /** Ends it at once, with `reset` by RST. The reason becomes the error of the access log. */
  close(reason: ConnectionFailure, reset?: boolean): void
}

/** The open connections of one pod. Bounded by the pod's sockets (file descriptors) and streams per connection. */
export class OpenConnections {
  readonly #open = new PlacedSet<TrackedConnection>()

  get size(): number {
    return this.#open.size
  }

  add(connection: TrackedConnection): void {
    this.#open.add(connection)
  }

  remove(connection: TrackedConnection): void {
    this.#open.delete(connection)
  }

  /** Those that policy may be asked about. */
  inbound(): TrackedConnection[] {
    return this.#open.list().filter((connection) => connection.facts !== undefined)
  }

  /** Closes the connection where `allowed` now refuses it (Istio: a policy change reaches open connections). */
  recheck(connection: TrackedConnection, allowed: (facts: ConnectionFacts) => boolean): void {
    if (!connection.facts || !this.#open.has(connection) || allowed(connection.facts)) return
    connection.close(new ConnectionFailure('DENY', 'connection closed due to policy change', { source: 'downstream' }))
  }

  /** By RST: where the redirection goes too, what an application still sends would leave in the clear. */
  resetAll(reason: ConnectionFailure): void {
    for (const connection of this.#open.list()) connection.close(reason, true)
  }

  summarise(): PodConnections {
    const inbound: ConnectionSummary[] = []
    const outbound: ConnectionSummary[] = []
    for (const { direction, summarise } of this.#open.list())
      (direction === 'inbound' ? inbound : outbound).push(summarise())
    return { inbound, outbound }
  }
}
