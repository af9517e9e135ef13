import { messageOf } from '@ambit/shared/errors'
import { SpiffeId } from '@ambit/shared/identity'
import type { Log } from '@ambit/shared/log'
import { nameOf, type Pod } from '../pod.ts'

export interface PodIdentitiesOptions {
  /** The trust domain of a pod as things are now. */
  readonly trustDomainOf: (pod: Pod) => string
  readonly log: Log
}

/**
 * Who the pods are. Never throws: a pod of which no identity can be made is reported and stays who it was, so that it harms
 * neither itself nor the others. Remembers the pods of the last call.
 */
export class PodIdentities {
  readonly #options: PodIdentitiesOptions
  #last = new Map<string, SpiffeId>()

  constructor(options: PodIdentitiesOptions) {
    this.#options = options
  }

  /** The identities of these pods, one for each. */
  of(pods: Iterable<Pod>): readonly SpiffeId[] {
    const now = new Map<string, SpiffeId>()
    for (const pod of pods) {
      const identity = this.#identityOf(pod)
      if (identity) now.set(pod.uid, identity)
    }
    this.#last = now
    return [...now.values()]
  }

  /** The identity of one pod more, which is remembered like the others; undefined where none can be made. */
  add(pod: Pod): SpiffeId | undefined {
    const identity = this.#identityOf(pod)
    if (identity) this.#last.set(pod.uid, identity)
    return identity
  }

  #identityOf(pod: Pod): SpiffeId | undefined {
    const { uid, namespace, serviceAccount } = pod
    try {
      return SpiffeId.of(this.#options.trustDomainOf(pod), namespace, serviceAccount)
    } catch (error) {
      this.#options.log.error('a pod has no identity as things are, the last good one stays', {
        pod: nameOf(pod),
        error: messageOf(error),
      })
      const last = this.#last.get(uid)
      // The uid may be that of another pod by now.
      return last?.namespace === namespace && last.serviceAccount === serviceAccount ? last : undefined
    }
  }
}
