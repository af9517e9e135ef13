import type { SendHandle } from 'node:child_process'
import type { CapturedPod } from './captured-pods.ts'
import type { WorkerProcess } from './worker-process.ts'

/** Gives a worker the listening sockets of a pod; this process keeps its own references. */
export function handOver(worker: WorkerProcess, { pod, listeners }: CapturedPod): void {
  const { uid, name, namespace, serviceAccount } = pod
  for (const { role, transparent, handle } of listeners) {
    // Node passes its own TCP handles, which ListenHandle is, as well as the types that SendHandle names.
    worker.send(
      { type: 'listener', pod: { uid, name, namespace, serviceAccount }, role, transparent },
      handle as unknown as SendHandle,
    )
  }
}
