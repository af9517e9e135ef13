import type { WorkerConfig } from './config.ts'
import type { Environment } from './environment.ts'

/** Whole seconds; what Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL (tcp(7), MAX_TCP_KEEPIDLE). */
const KEEPALIVE_RANGE = { min: '1ms', max: '32767s' }
/** TCP_USER_TIMEOUT is an int. */
const MAX_USER_TIMEOUT_MS = 0x7fff_ffff

/** TCP keepalive of data connections; undefined: none. */
export function readKeepAlive(env: Environment): WorkerConfig['keepAlive'] {
  const enabled = env.boolean(
    'KEEPALIVE_ENABLED',
    true,
    'TCP keepalive on data connections, except those accepted on 15008',
  )
  const timeMs = env.durationMs('KEEPALIVE_TIME', '180s', 'idle time before the first keepalive probe', KEEPALIVE_RANGE)
  const intervalMs = env.durationMs('KEEPALIVE_INTERVAL', '180s', 'time between keepalive probes', KEEPALIVE_RANGE)
  const [timeS, intervalS] = [Math.ceil(timeMs / 1_000), Math.ceil(intervalMs / 1_000)]
  const retries = env.integer('KEEPALIVE_RETRIES', 9, { min: 1, max: 127 }, 'unanswered probes that end a connection')
  return enabled ? { timeS, intervalS, retries } : undefined
}

/** TCP_USER_TIMEOUT of the same connections; undefined: the kernel's own. */
export function readUserTimeout(env: Environment, keepAlive: WorkerConfig['keepAlive']): number | undefined {
  const enabled = env.boolean('USER_TIMEOUT_ENABLED', false, 'TCP_USER_TIMEOUT of keepalive time + retries × interval')
  if (!enabled || !keepAlive) return undefined
  const timeoutMs = (keepAlive.timeS + keepAlive.retries * keepAlive.intervalS) * 1_000
  if (timeoutMs > MAX_USER_TIMEOUT_MS)
    env.report(
      `USER_TIMEOUT_ENABLED: keepalive time + retries × interval is ${timeoutMs / 1_000} s, more than the ${MAX_USER_TIMEOUT_MS / 1_000} s of Linux`,
    )
  return timeoutMs
}
