import type { Clock, Timer } from '@ambit/shared/clock'
import type { Log } from '@ambit/shared/log'
import type { Mesh, Workload } from '@ambit/shared/mesh'
import { nameOf, type Pod } from '../pod.ts'

export interface UnknownPodsOptions {
  readonly mesh: Pick<Mesh, 'localWorkload' | 'workloads'>
  /** Whose workloads are local; undefined: all are. */
  readonly nodeName: string | undefined
  readonly clock: Clock
  readonly log: Log
}

/** As long as a connection waits for the record of its own pod. */
const PATIENCE_MS = 5_000

/**
 * Warns once of each captured pod that the mesh still does not know after 5 s: it looks healthy, and each of its connections
 * fails. A record that comes in time is not missed. Remembers the captured pods and nothing else.
 */
export class UnknownPods {
  readonly #options: UnknownPodsOptions
  /** Captured pods by uid, with the time from when their record is missed; undefined for those that were looked up. */
  #pods = new Map<string, { readonly pod: Pod; readonly dueAt: number | undefined }>()
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: UnknownPodsOptions) {
    this.#options = options
  }

  /** These are captured now; what is true of others is forgotten. */
  captured(pods: Iterable<Pod>): void {
    const dueAt = this.#options.clock.monotonicMs() + PATIENCE_MS
    const before = this.#pods
    this.#pods = new Map()
    for (const pod of pods) {
      const known = before.get(pod.uid)
      this.#pods.set(pod.uid, known?.pod === pod ? known : { pod, dueAt })
    }
    this.#sleep()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #sleep(): void {
    this.#timer?.cancel()
    if (this.#isStopped) return
    const { clock } = this.#options
    const first = Math.min(...[...this.#pods.values()].map(({ dueAt }) => dueAt ?? Infinity))
    this.#timer = first === Infinity ? undefined : clock.after(first - clock.monotonicMs(), () => this.#look())
  }

  #look(): void {
    const { mesh, clock } = this.#options
    const missing: Pod[] = []
    for (const [uid, { pod, dueAt }] of this.#pods) {
      if (dueAt === undefined || dueAt > clock.monotonicMs()) continue
      this.#pods.set(uid, { pod, dueAt: undefined })
      if (!mesh.localWorkload(pod.namespace, pod.name, pod.serviceAccount)) missing.push(pod)
    }
    if (missing.length > 0) this.#warn(missing)
    this.#sleep()
  }

  /** Looks through the mesh once for all of them. */
  #warn(pods: readonly Pod[]): void {
    const { mesh, nodeName, log } = this.#options
    const namesakes = new Map<string, Workload | undefined>(pods.map((pod) => [nameOf(pod), undefined]))
    for (const workload of mesh.workloads())
      if (namesakes.has(nameOf(workload))) namesakes.set(nameOf(workload), workload)
    for (const pod of pods) {
      const name = nameOf(pod)
      const where = nodeName === undefined ? '' : ` on node ${nodeName}`
      log.warn(
        `the mesh has no workload ${name} of service account ${pod.serviceAccount}${where}${difference(pod, namesakes.get(name), nodeName)}: ` +
          'its connections fail; check NODE_NAME and LOCAL_XDS_PATH',
        { pod: name },
      )
    }
  }
}

/** In what a workload of the pod's name is not the pod. */
function difference(pod: Pod, namesake: Workload | undefined, nodeName: string | undefined): string {
  if (!namesake) return ''
  const node = nodeName === undefined || namesake.node === nodeName ? [] : [`on node ${namesake.node || '""'}`]
  const { serviceAccount } = namesake
  const account = serviceAccount === pod.serviceAccount ? [] : [`of service account ${serviceAccount}`]
  return ` (it has one ${[...account, ...node].join(' ')})`
}
