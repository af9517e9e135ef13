import { isDeepStrictEqual } from 'node:util'
import type { Clock, Timer } from '@ambit/shared/clock'
import { messageOf } from '@ambit/shared/errors'
import type { ByteIo } from '@ambit/shared/io'
import type { Log } from '@ambit/shared/log'
import type { Counter } from '@ambit/shared/telemetry'
import { NetworkNamespace, Redirection } from '../linux/index.ts'
import { OneAtATime } from '../one-at-a-time.ts'
import { nameOf, type Pod, type PodPlace } from '../pod.ts'
import { someAtATime } from '../some-at-a-time.ts'
import { pendingIn, redirectedIn, servingIn, type CapturedPod, type PodCapture } from './pod-capture.ts'
import { closeListeners, openListeners, type PodListenOptions } from './pod-listeners.ts'
import type { PodProbes } from './pod-probes.ts'
import { whyNotRedirected } from './why-not-redirected.ts'

export interface CapturedPodsOptions {
  readonly io: ByteIo
  readonly listen: PodListenOptions
  /** The mark of connections that are not redirected. Undefined in dedicated mode: whoever runs the proxy directs the traffic to it. */
  readonly redirect: { readonly packetMark: number } | undefined
  /** Namespaces that are no pod's, by id, and whose they are. */
  readonly reserved: ReadonlyMap<string, string>
  /** Where probes of the node's own processes are let past the proxy. */
  readonly probes: PodProbes | undefined
  /** Pods taken in and let go. */
  readonly started: Counter
  readonly stopped: Counter
  readonly clock: Clock
  readonly log: Log
  /** The listeners are open: hand them to every worker. */
  readonly onListening: (pod: CapturedPod) => void
  /** The pod goes: resolves, and never rejects, when its connections have ended. */
  readonly onRemoved: (pod: CapturedPod) => Promise<void>
  /** After every change: `captured` and `pending` are new. */
  readonly onChanged: () => void
}

/** Istio's ztunnel tries a pod that failed again every 5 s. */
const RETRY_MS = 5_000
/**
 * As many pods are captured or let go at a time. Each runs programs (nft): 800 at once took 1.6 GB, none ended before its
 * deadline, and control answered nobody for 100 s.
 */
const MAX_AT_A_TIME = 8

/**
 * The pods of this node whose traffic is taken. Capturing a pod opens its listeners before any packet is redirected to
 * them; releasing it takes new connections past them before they close, and removes the redirection when the open connections
 * have ended, for their bytes would leave in the clear. Bounded by the pods of the node (the file's limit).
 */
export class CapturedPods {
  readonly #options: CapturedPodsOptions
  readonly #pods = new Map<string, PodCapture>()
  /** A pod that is removed and added again must not race with itself. */
  readonly #turns = new OneAtATime()
  #retry: Timer | undefined
  #isStopped = false

  constructor(options: CapturedPodsOptions) {
    this.#options = options
  }

  /** The pods whose traffic is redirected now. */
  get captured(): ReadonlyMap<string, CapturedPod> {
    return this.#those(redirectedIn)
  }

  /** Those whose listeners are open: the captured ones, those about to be, and those about to be let go. */
  get serving(): ReadonlyMap<string, CapturedPod> {
    return this.#those(servingIn)
  }

  /** Those that could not be captured yet. */
  get pending(): ReadonlyMap<string, PodPlace> {
    return this.#those(pendingIn)
  }

  #those<T>(select: (capture: PodCapture) => T | undefined): ReadonlyMap<string, T> {
    const those = new Map<string, T>()
    for (const [uid, capture] of this.#pods) {
      const one = select(capture)
      if (one) those.set(uid, one)
    }
    return those
  }

  /**
   * Resolves when the change is done, and never rejects. A pod that fails is logged, stays pending and is tried again every
   * 5 s; so is one whose redirection cannot be taken away. One that is in both lists moves: it stays captured where it was as long as its new namespace cannot be opened.
   */
  change(added: readonly PodPlace[], removed: readonly string[]): Promise<void> {
    return this.#inTurn(() => this.#replace(added, removed))
  }

  /** The only pod of a proxy of its own, whose place is its namespace: rejects where it cannot be served, for nobody else waits. */
  captureAlone(place: PodPlace): Promise<void> {
    return this.#turns.run(async () => {
      try {
        await this.#tryCapture(place)
      } catch (error) {
        throw new Error(`the workload cannot be served: ${whyNotRedirected(error, place.netns)}`, { cause: error })
      }
      if (!this.#isStopped) this.#changed()
    })
  }

  async #replace(added: readonly PodPlace[], removed: readonly string[]): Promise<void> {
    const places = new Map(added.map((place) => [place.uid, place]))
    await someAtATime(MAX_AT_A_TIME, removed, async (uid) => {
      if (this.#isToLeave(uid, places.get(uid))) await this.#release(uid)
    })
    await someAtATime(MAX_AT_A_TIME, [...places.values()], (place) => this.#capture(place))
  }

  /** Whether a pod is to be let go where it is, for a new place or for none. */
  #isToLeave(uid: string, next: PodPlace | undefined): boolean {
    const capture = this.#pods.get(uid)
    if (capture?.state !== 'captured' || !next) return true
    return !isDeepStrictEqual(capture.captured.pod, next) && whyNotOpened(next.netns) === undefined
  }

  /** Never rejects. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#isStopped) return
      try {
        await work()
        if (!this.#isStopped) this.#changed()
      } catch (error) {
        this.#options.log.error('a change of the pods failed', { error: messageOf(error) })
      }
    })
  }

  /**
   * Lets go of the listeners, for drain, and takes no more changes: no pod is captured from now on. The redirection stays: a
   * successor serves it, and without one the pods fail closed.
   */
  stop(): void {
    this.#isStopped = true
    this.#cancelRetry()
    for (const { listeners } of this.serving.values()) closeListeners(listeners)
  }

  #cancelRetry(): void {
    this.#retry?.cancel()
    this.#retry = undefined
  }

  async #capture(place: PodPlace): Promise<void> {
    try {
      await this.#tryCapture(place)
    } catch (error) {
      this.#pods.set(place.uid, { state: 'pending', wanted: place })
      this.#options.log.error('pod not captured, trying again in 5 s', {
        pod: nameOf(place),
        error: whyNotRedirected(error, place.netns),
      })
    }
  }

  async #tryCapture(place: PodPlace): Promise<void> {
    if (this.#isStopped) return
    const { log, redirect } = this.#options
    const before = this.#pods.get(place.uid)
    if (before?.state === 'captured') {
      this.#stay(before.captured, place)
      return
    }
    // What could not be taken away is put in place anew.
    if (before?.state === 'ending') this.#released(before.captured)
    const captured = this.#serve(place)
    this.#pods.set(place.uid, { state: 'opening', captured, wanted: before && pendingIn(before) })
    try {
      this.#options.onListening(captured)
      await this.#letProbesPass(captured)
      // With its listeners closed nobody would be behind a redirection.
      if (this.#isStopped) {
        captured.namespace.close()
        return
      }
      await captured.redirection?.install()
    } catch (error) {
      if (before?.state === 'pending') this.#pods.set(place.uid, before)
      else this.#pods.delete(place.uid)
      await this.#end(captured)
      captured.namespace.close()
      throw error
    }
    if (this.#isStopped) {
      // It came too late. Taken away it could be missed: a successor may be capturing the same pod.
      captured.namespace.close()
      log.warn('pod redirected while ztunnel ends: its connections wait for the next ztunnel', { pod: nameOf(place) })
      return
    }
    this.#pods.set(place.uid, { state: 'captured', captured, wanted: undefined })
    this.#options.started.add(1)
    log.info(redirect ? 'pod captured' : 'workload served', { pod: nameOf(place) })
  }

  /** A pod stays captured as it is, though it may be wanted elsewhere. */
  #stay(captured: CapturedPod, wanted: PodPlace): void {
    const { pod } = captured
    const isThere = isDeepStrictEqual(pod, wanted)
    this.#pods.set(pod.uid, { state: 'captured', captured, wanted: isThere ? undefined : wanted })
    if (isThere) return
    this.#options.log.error('pod stays captured where it was, trying its new network namespace again in 5 s', {
      pod: nameOf(pod),
      error: whyNotOpened(wanted.netns) ?? `${wanted.netns} can be opened now`,
    })
  }

  /** Opens the pod's listeners, all or none; they are closed by `#end`. */
  #serve(place: PodPlace): CapturedPod {
    const namespace = NetworkNamespace.open(place.netns)
    try {
      const owner = this.#ownerOf(namespace)
      if (owner) throw new Error(`the network namespace ${place.netns} is that of ${owner}`)
      const listeners = openListeners(this.#options.io, namespace, this.#options.listen)
      return { pod: place, listeners, namespace, redirection: this.#redirection(namespace) }
    } catch (error) {
      namespace.close()
      throw error
    }
  }

  /**
   * Who has the namespace already, until its last connection has ended; undefined where a pod may have it. Two pods in one would
   * share each other's connections, and the one that leaves would take the redirection along. In the node's own all of its
   * traffic would be redirected.
   */
  #ownerOf({ id }: NetworkNamespace): string | undefined {
    for (const capture of this.#pods.values()) {
      const other = servingIn(capture) ?? redirectedIn(capture)
      if (other?.namespace.id === id) return `pod ${nameOf(other.pod)}`
    }
    return this.#options.reserved.get(id)
  }

  /** No new connection comes to the pod's listeners (any more): ends those that are open. */
  async #end(captured: CapturedPod): Promise<void> {
    closeListeners(captured.listeners)
    await this.#options.onRemoved(captured)
  }

  #redirection(namespace: NetworkNamespace): Redirection | undefined {
    const { redirect } = this.#options
    return redirect && new Redirection(namespace, redirect)
  }

  /** Before the redirection, so that no probe is taken. A node that refuses its rules has failing probes, not plain traffic. */
  async #letProbesPass({ pod, namespace }: CapturedPod): Promise<void> {
    try {
      await this.#options.probes?.add(pod, namespace)
    } catch (error) {
      this.#options.log.warn("the node's rules for probes are not in place: kubelet probes of pods may fail", {
        error: messageOf(error),
      })
    }
  }

  async #release(uid: string): Promise<void> {
    const capture = this.#pods.get(uid)
    if (!capture) return
    const place = pendingIn(capture)
    if (place) await this.#forget(place)
    if (capture.state === 'pending') {
      this.#pods.delete(uid)
      return
    }
    const { captured } = capture
    if (capture.state === 'captured') {
      this.#pods.set(uid, { state: 'captured', captured, wanted: undefined })
      await this.#orWarn(captured.pod, () => captured.redirection?.passNew())
      this.#pods.set(uid, { state: 'ending', captured })
      await this.#end(captured)
    }
    // After the redirection: whoever reads that it is not captured finds it so.
    if (await this.#stopRedirecting(captured.pod, captured.redirection)) this.#released(captured)
  }

  #released({ pod, namespace }: CapturedPod): void {
    namespace.close()
    this.#pods.delete(pod.uid)
    this.#options.stopped.add(1)
    this.#options.log.info('pod released', { pod: nameOf(pod) })
  }

  /** A pod that could not be captured may still be redirected, by a predecessor or by half. */
  async #forget(place: PodPlace): Promise<void> {
    let namespace: NetworkNamespace
    try {
      namespace = NetworkNamespace.open(place.netns)
    } catch {
      return // The pod is gone, and its rules with it.
    }
    // What is redirected in the namespace of another is not this pod's.
    const isOwn = this.#ownerOf(namespace) === undefined
    await this.#stopRedirecting(place, isOwn ? this.#redirection(namespace) : undefined)
    namespace.close()
  }

  /** False where it could not be done. */
  #stopRedirecting(pod: Pod, redirection: Redirection | undefined): Promise<boolean> {
    return this.#orWarn(pod, async () => {
      await redirection?.remove()
      await this.#options.probes?.remove(pod.uid)
    })
  }

  async #orWarn(pod: Pod, work: () => Promise<void> | undefined): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.#options.log.warn('redirection not removed', { pod: nameOf(pod), error: messageOf(error) })
      return false
    }
  }

  /** Pods that could not be let go: when nothing is under way there are no others that are ending. */
  get #stuck(): readonly string[] {
    return [...this.#pods.values()].flatMap((capture) => (capture.state === 'ending' ? [capture.captured.pod.uid] : []))
  }

  #changed(): void {
    if (this.pending.size === 0 && this.#stuck.length === 0) this.#cancelRetry()
    else
      this.#retry ??= this.#options.clock.after(RETRY_MS, () => {
        this.#retry = undefined
        // Who is pending is read when it is our turn: a change before us may have removed or captured some.
        void this.#inTurn(() => {
          const places = [...this.pending.values()]
          const moving = places.filter(({ uid }) => this.#pods.get(uid)?.state === 'captured')
          return this.#replace(places, [...moving.map(({ uid }) => uid), ...this.#stuck])
        })
      })
    this.#options.onChanged()
  }
}

/** undefined where it can be. */
function whyNotOpened(netns: string): string | undefined {
  try {
    NetworkNamespace.open(netns).close()
    return undefined
  } catch (error) {
    return messageOf(error)
  }
}
