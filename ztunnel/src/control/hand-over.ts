import type { CapturedPod } from './captured-pods.ts'
import type { DataWorker } from './worker-process.ts'

/** Gives a worker the listening sockets of a pod; this process keeps its own references. */
export function handOver(worker: DataWorker, { pod, listeners }: CapturedPod): void {
  const { uid, name, namespace, serviceAccount } = pod
  for (const { role, transparent, handle } of listeners) {
    worker.send({ type: 'listener', pod: { uid, name, namespace, serviceAccount }, role, transparent }, handle)
  }
}
