import { readFileSync } from 'node:fs'
import type { Clock } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'

/** For the listeners and namespaces of some thirty pods, and for files. */
const RESERVE = 128
/** Of few descriptors no more than this part is kept back. */
const LARGEST_PART = 1 / 4
const SAID_EVERY_MS = 10_000

export interface DescriptorReserveOptions {
  /** That this process may have. */
  readonly max: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * File descriptors that connections leave free. Without any left a process loses the sockets that are sent to it: a pod that is
 * captured meanwhile would be redirected to nobody.
 */
export class DescriptorReserve {
  readonly #options: DescriptorReserveOptions
  readonly #first: number
  #saidMs = Number.NEGATIVE_INFINITY

  constructor(options: DescriptorReserveOptions) {
    this.#options = options
    this.#first = options.max - Math.min(RESERVE, Math.floor(options.max * LARGEST_PART))
  }

  /**
   * Whether a connection that has just got this descriptor is to be closed at once. The kernel gives the lowest one that is free, so
   * one of the reserve says that there is no other.
   */
  isTouchedBy(fd: number): boolean {
    if (fd < this.#first) return false
    const { max, clock, log } = this.#options
    const now = clock.monotonicMs()
    if (now - this.#saidMs >= SAID_EVERY_MS) {
      this.#saidMs = now
      log.warn('no file descriptor is left for further connections: they are closed', { max, kept: max - this.#first })
    }
    return true
  }
}

/** Of this process, now: what Node raised it to when it started. */
export function maxDescriptors(): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return soft === undefined ? Number.MAX_SAFE_INTEGER : Number(soft)
}
