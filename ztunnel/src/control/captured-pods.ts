import type { Clock, Timer } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { ByteIo } from '@ambit/shared/io'
import type { Counter, Log } from '@ambit/shared/telemetry'
import { addressesIn, NetworkNamespace, Redirection, type ProbeBypass } from '../linux/index.ts'
import type { Pod } from '../messages.ts'
import { closeListeners, openListeners, type ListenOptions, type PodListener } from './pod-listeners.ts'

/** A pod to capture and where its network namespace is. */
export interface PodPlace extends Pod {
  /** Path of the network namespace, such as /run/netns/x. */
  readonly netns: string
}

export interface CapturedPodsOptions {
  readonly io: ByteIo
  readonly listen: ListenOptions
  /** false in dedicated mode: whoever runs the proxy directs the traffic to it. */
  readonly redirect: boolean
  /** Where probes of the node's own processes are let past the proxy. */
  readonly probes: ProbeBypass | undefined
  /** Pods taken in and let go. */
  readonly started: Counter
  readonly stopped: Counter
  readonly clock: Clock
  readonly log: Log
  /** The listeners are open: hand them to every worker. */
  readonly onListening: (pod: CapturedPod) => void
  /** The pod is gone: its connections end at once. */
  readonly onRemoved: (pod: CapturedPod) => void
  /** After every change: `captured` and `pending` are new. */
  readonly onChanged: () => void
}

export interface CapturedPod {
  readonly pod: Pod
  readonly listeners: readonly PodListener[]
  readonly redirection: Redirection | undefined
  readonly namespace: NetworkNamespace
}

/** Istio's ztunnel tries a pod that failed again every 5 s. */
const RETRY_MS = 5_000
const DEFAULT_MARK = 1_337

/**
 * The pods of this node whose traffic is taken. Capturing a pod opens its listeners before any packet is redirected to
 * them; releasing it removes the redirection before they close. Bounded by the pods of the node (the file's limit).
 */
export class CapturedPods {
  readonly #options: CapturedPodsOptions
  readonly #captured = new Map<string, CapturedPod>()
  readonly #pending = new Map<string, PodPlace>()
  #retry: Timer | undefined
  /** Changes run one after the other: a pod that is removed and added again must not race with itself. */
  #queue: Promise<void> = Promise.resolve()

  constructor(options: CapturedPodsOptions) {
    this.#options = options
  }

  get captured(): ReadonlyMap<string, CapturedPod> {
    return this.#captured
  }

  get pending(): ReadonlyMap<string, PodPlace> {
    return this.#pending
  }

  /** Resolves when the change is done. A pod that fails is logged, stays pending and is tried again every 5 s. */
  change(added: readonly PodPlace[], removed: readonly string[]): Promise<void> {
    this.#queue = this.#queue.then(async () => {
      for (const uid of removed) await this.#release(uid)
      await Promise.all(added.map((place) => this.#capture(place)))
      this.#changed()
    })
    return this.#queue
  }

  /** Lets go of the listeners, for drain. The redirection stays: a successor serves it, and without one the pods fail closed. */
  stop(): void {
    this.#cancelRetry()
    for (const { listeners } of this.#captured.values()) closeListeners(listeners)
  }

  #cancelRetry(): void {
    this.#retry?.cancel()
    this.#retry = undefined
  }

  async #capture(place: PodPlace): Promise<void> {
    const { log } = this.#options
    const name = `${place.namespace}/${place.name}`
    try {
      const namespace = NetworkNamespace.open(place.netns)
      let listeners: readonly PodListener[] = []
      try {
        listeners = openListeners(this.#options.io, namespace, this.#options.listen)
        const captured = { pod: place, listeners, namespace, redirection: this.#redirection(namespace) }
        this.#options.onListening(captured)
        await this.#letProbesPass(captured)
        await captured.redirection?.install()
        this.#captured.set(place.uid, captured)
        this.#pending.delete(place.uid)
        this.#options.started.add(1)
        log.info('pod captured', { pod: name })
      } catch (error) {
        closeListeners(listeners)
        namespace.close()
        throw error
      }
    } catch (error) {
      this.#pending.set(place.uid, place)
      log.error('pod not captured, trying again in 5 s', { pod: name, error: messageOf(error) })
    }
  }

  #redirection(namespace: NetworkNamespace): Redirection | undefined {
    const { redirect, listen } = this.#options
    return redirect ? new Redirection(namespace, { packetMark: listen.mark ?? DEFAULT_MARK }) : undefined
  }

  /** Before the redirection, so that no probe is taken. A node that refuses its rules has failing probes, not plain traffic. */
  async #letProbesPass({ pod, namespace }: CapturedPod): Promise<void> {
    try {
      await this.#options.probes?.add(pod.uid, addressesIn(namespace))
    } catch (error) {
      this.#options.log.warn("the node's rules for probes are not in place: kubelet probes of pods may fail", {
        error: messageOf(error),
      })
    }
  }

  async #release(uid: string): Promise<void> {
    this.#pending.delete(uid)
    const captured = this.#captured.get(uid)
    if (!captured) return
    this.#captured.delete(uid)
    const { log } = this.#options
    const name = `${captured.pod.namespace}/${captured.pod.name}`
    try {
      await captured.redirection?.remove()
      await this.#options.probes?.remove(uid)
    } catch (error) {
      log.warn('redirection not removed', { pod: name, error: messageOf(error) })
    }
    this.#options.onRemoved(captured)
    closeListeners(captured.listeners)
    captured.namespace.close()
    this.#options.stopped.add(1)
    log.info('pod released', { pod: name })
  }

  #changed(): void {
    this.#options.onChanged()
    if (this.#pending.size === 0) return this.#cancelRetry()
    this.#retry ??= this.#options.clock.after(RETRY_MS, () => {
      this.#retry = undefined
      void this.change([...this.#pending.values()], [])
    })
  }
}
