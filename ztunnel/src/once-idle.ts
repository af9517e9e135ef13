import { performance, type EventLoopUtilization } from 'node:perf_hooks'
import type { Clock } from '@ambit/shared/clock'

const INTERVAL_MS = 500
/** Of an interval: 10 ms of work. */
const BUSY_SHARE = 0.02

/** Reads how busy the event loop was since `before`, or since the process began. */
export type ReadUtilization = (before?: EventLoopUtilization) => EventLoopUtilization

/** Calls `run` once, after the first half second in which this process had next to nothing to do. */
export function onceIdle(
  run: () => void,
  clock: Clock,
  read: ReadUtilization = (before) => performance.eventLoopUtilization(before),
): void {
  const before = read()
  clock.after(INTERVAL_MS, () => {
    if (read(before).utilization < BUSY_SHARE) run()
    else onceIdle(run, clock, read)
  })
}
