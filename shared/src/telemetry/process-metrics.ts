import { readdirSync, readFileSync } from 'node:fs'
import { METRICS } from './metric-family.ts'
import type { MetricRegistry } from './metric-registry.ts'

/** Tells how many file descriptors this process has open and may have. Nothing on a system without /proc. */
export function collectProcessMetrics(registry: MetricRegistry): () => void {
  return registry.onCollect(() => {
    const open = openFileDescriptors()
    const max = maxFileDescriptors()
    if (open !== undefined) registry.gauge(METRICS.openFds).set(open)
    if (max !== undefined) registry.gauge(METRICS.maxFds).set(max)
  })
}

function openFileDescriptors(): number | undefined {
  try {
    // One of them is the directory that is being read.
    return readdirSync('/proc/self/fd').length - 1
  } catch {
    return undefined
  }
}

function maxFileDescriptors(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}
