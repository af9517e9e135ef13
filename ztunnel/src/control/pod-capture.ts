import type { NetworkNamespace, Redirection } from '../linux/index.ts'
import type { PodPlace } from '../pod.ts'
import type { PodListener } from './pod-listeners.ts'

export interface CapturedPod {
  readonly pod: PodPlace
  readonly listeners: readonly PodListener[]
  readonly redirection: Redirection | undefined
  readonly namespace: NetworkNamespace
}

/**
 * How far a pod is. `wanted` is the place where it could not be captured, which is tried again.
 *
 * - pending: it is captured nowhere.
 * - opening: its listeners are open, and its traffic is about to be redirected to them.
 * - captured: its traffic is redirected; it stays where it is while it cannot be captured where it is wanted.
 * - ending: its listeners are closed, and it is redirected until its connections have ended, or for as long as that cannot be
 *   taken away, which is tried again.
 */
export type PodCapture =
  | { readonly state: 'pending'; readonly wanted: PodPlace }
  | { readonly state: 'opening'; readonly captured: CapturedPod; readonly wanted: PodPlace | undefined }
  | { readonly state: 'captured'; readonly captured: CapturedPod; readonly wanted: PodPlace | undefined }
  | { readonly state: 'ending'; readonly captured: CapturedPod }

/** The pod where its traffic is redirected. */
export function redirectedIn(capture: PodCapture): CapturedPod | undefined {
  return capture.state === 'captured' || capture.state === 'ending' ? capture.captured : undefined
}

/** The pod where its listeners are open. */
export function servingIn(capture: PodCapture): CapturedPod | undefined {
  return capture.state === 'opening' || capture.state === 'captured' ? capture.captured : undefined
}

/** The place where it could not be captured yet. */
export function pendingIn(capture: PodCapture): PodPlace | undefined {
  return capture.state === 'ending' ? undefined : capture.wanted
}
