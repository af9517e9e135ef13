import type { Clock } from '@ambit/shared/clock'
import type { SocketAddress } from '@ambit/shared/ip'

/** Four looks through all ports in a second, 30 ms of the worker. */
const REMEMBERED_MS = 250
const MAX_PATHS = 256

/**
 * From where to where a pod has few local ports left: each is kept for a minute after a connection that ended on this side
 * first, so 470 new connections a second from one address to one port need all of them. There connect() goes through 28,000
 * ports within the system call, 7 ms in which the worker serves nobody: that is not done for every connection anew.
 */
export class ScarcePorts {
  readonly #clock: Clock
  /** Until when, by path; the oldest first. */
  readonly #paths = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** All ports were looked through just now. */
  add(source: string | undefined, to: SocketAddress): void {
    const path = pathOf(source, to)
    this.#paths.delete(path)
    this.#paths.set(path, this.#clock.monotonicMs() + REMEMBERED_MS)
    for (const oldest of this.#paths.keys()) {
      if (this.#paths.size <= MAX_PATHS) break
      this.#paths.delete(oldest)
    }
  }

  has(source: string | undefined, to: SocketAddress): boolean {
    if (this.#paths.size === 0) return false
    const path = pathOf(source, to)
    const until = this.#paths.get(path)
    if (until === undefined) return false
    if (this.#clock.monotonicMs() < until) return true
    this.#paths.delete(path)
    return false
  }
}

function pathOf(source = '', { address, port }: SocketAddress): string {
  return `${source} ${address} ${port}`
}
