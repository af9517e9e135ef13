import type { Clock } from '@ambit/shared/clock'
import type { Mesh, Workload } from '@ambit/shared/mesh'
import type { PodIdentity } from '../pod.ts'

/** Istio: how long a connection waits for the record of its own pod (reference behaviour of `get_workload`). */
const WAIT_MS = 5_000

/** The pod's own workload is not in the mesh. */
export class UnknownWorkload extends Error {
  constructor({ name, namespace, serviceAccount }: PodIdentity) {
    super(`failed to fetch information about local workload: ${serviceAccount}.${namespace} (${name})`)
  }
}

/**
 * The mesh record of a pod on this node, found by exactly its name, namespace and service account, never by address.
 * Where it is not there yet, waits up to 5 s for it. Throws UnknownWorkload.
 */
export function localWorkload(mesh: Mesh, pod: PodIdentity, clock: Clock): Workload | Promise<Workload> {
  return find(mesh, pod) ?? arrival(mesh, pod, clock)
}

function find(mesh: Mesh, pod: PodIdentity): Workload | undefined {
  return mesh.localWorkload(pod.namespace, pod.name, pod.serviceAccount)
}

function arrival(mesh: Mesh, pod: PodIdentity, clock: Clock): Promise<Workload> {
  return new Promise((resolve, reject) => {
    const stop = mesh.onChange(() => {
      const found = find(mesh, pod)
      if (!found) return
      stop()
      timer.cancel()
      resolve(found)
    })
    const timer = clock.after(WAIT_MS, () => {
      stop()
      reject(new UnknownWorkload(pod))
    })
  })
}
