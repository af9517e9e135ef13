import { Repetition, type Clock } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { Log } from '@ambit/shared/log'
import { nameOf } from '../pod.ts'
import type { CapturedPod } from './pod-capture.ts'
import type { PodProbes } from './pod-probes.ts'
import { whyNotRedirected } from './why-not-redirected.ts'

export interface DriftWatchOptions {
  /** The pods captured now. */
  readonly captured: () => Iterable<CapturedPod>
  readonly probes: PodProbes | undefined
  readonly intervalMs: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * Looks now and then whether the redirection of each captured pod is as it was installed, and mends it where someone has
 * changed it: until then its traffic would go in the clear. One pod at a time; a pod that cannot be mended is reported and
 * does not stop the others.
 */
export class DriftWatch {
  readonly #options: DriftWatchOptions
  readonly #looks: Repetition

  constructor(options: DriftWatchOptions) {
    this.#options = options
    this.#looks = new Repetition(options.clock, options.intervalMs, () => this.#look())
  }

  stop(): void {
    this.#looks.stop()
  }

  async #look(): Promise<void> {
    const { captured, probes, log } = this.#options
    for (const { pod, redirection } of captured()) {
      if (this.#looks.isStopped) return
      try {
        const mended = (await redirection?.mend()) ?? []
        if (mended.length > 0)
          log.warn('redirection was changed by someone and is mended', {
            pod: nameOf(pod),
            mended: mended.join(' and '),
          })
      } catch (error) {
        log.error('redirection cannot be checked', { pod: nameOf(pod), error: whyNotRedirected(error, pod.netns) })
      }
    }
    try {
      if ((await probes?.mend()) === 'mended')
        log.warn("the node's rules for probes were changed by someone and are mended")
    } catch (error) {
      log.error("the node's rules for probes cannot be checked", { error: messageOf(error) })
    }
  }
}
