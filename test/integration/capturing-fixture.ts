// What the tests of captured pods share.
import type { ByteIo } from '@ambit/shared/io'
import { FakeClock } from '@ambit/shared/clock'
import { silentLog, type Log } from '@ambit/shared/log'
import { MetricRegistry, METRICS } from '@ambit/shared/telemetry'
import { CapturedPods, type CapturedPodsOptions } from '../../ztunnel/src/control/captured-pods.ts'
import type { PodPlace } from '../../ztunnel/src/pod.ts'
import type { Pod } from '../kit/index.ts'

export const LISTENERS = [':15001', ':15006', ':15008']
export const RETRY_MS = 5_000

export interface Capturing {
  readonly pods: CapturedPods
  readonly clock: FakeClock
  /** What was logged as an error. */
  readonly errors: string[]
  /** What else was logged, but warnings. */
  readonly news: string[]
  /** How often it was told that all is new. */
  readonly changes: () => number
}

/** A room that captures pods in earnest, by a clock that the test moves; it is stopped with the test. */
export function capturing(
  io: ByteIo,
  t: { teardown(end: () => void): void },
  reserved: ReadonlyMap<string, string> = new Map(),
  {
    onListening = () => {},
    onRemoved = () => Promise.resolve(),
    probes,
  }: Pick<Partial<CapturedPodsOptions>, 'onListening' | 'onRemoved' | 'probes'> = {},
): Capturing {
  const [errors, news]: [string[], string[]] = [[], []]
  const log: Log = {
    ...silentLog,
    error: (text, fields) => void errors.push(`${text} ${JSON.stringify(fields)}`),
    info: (text) => void news.push(text),
  }
  let changes = 0
  const metrics = new MetricRegistry({ clock: new FakeClock(), log })
  const clock = new FakeClock()
  const pods = new CapturedPods({
    io,
    listen: {
      mark: 1_337,
      reusePort: true,
      originalSource: undefined,
      ipv6: true,
      keepAlive: { timeS: 77, intervalS: 5, retries: 3 },
      userTimeoutMs: 92_000,
    },
    redirect: { packetMark: 1_337 },
    reserved,
    probes,
    started: metrics.counter(METRICS.proxiesStarted),
    stopped: metrics.counter(METRICS.proxiesStopped),
    clock,
    log,
    onListening,
    onRemoved,
    onChanged: () => changes++,
  })
  t.teardown(() => pods.stop())
  return { pods, clock, errors, news, changes: () => changes }
}

export function placeOf({ uid, name, namespace, serviceAccount, netns }: Pod): PodPlace {
  return { uid, name, namespace, serviceAccount, netns }
}
