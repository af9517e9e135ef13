import { readFileSync } from 'node:fs'
import type { Clock } from '@ambit/shared/clock'
import type { SocketAddress } from '@ambit/shared/ip'
import type { Log } from '@ambit/shared/log'
import {
  collectProcessMetrics,
  label,
  METRICS,
  serveAdmin,
  serveMetrics,
  serveReadiness,
  type HttpEndpoint,
  type LogLevels,
  type MetricRegistry,
  type Readiness,
} from '@ambit/shared/telemetry'
import { LOG_TARGETS } from '../log-targets.ts'
import { configDump, type ConfigDumpSources } from './config-dump.ts'

/** Istio's ports in the proxy's own namespace. */
const ADMIN_PORT = 15_000
const METRICS_PORT = 15_020
const READINESS_PORT = 15_021
/** Requests under way at shutdown get this long. */
const CLOSE_DEADLINE_MS = 1_000
const LOOPBACK_WITHOUT_IPV6 = '/proc/sys/net/ipv6/conf/lo/disable_ipv6'

export interface ObservabilityOptions extends ConfigDumpSources {
  readonly readiness: Readiness
  readonly metrics: MetricRegistry
  readonly levels: LogLevels
  readonly onLevels: (levels: string) => void
  readonly onQuit: () => void
  readonly log: Log
  readonly clock: Clock
}

/** What the proxy tells its operators: readiness, metrics and the admin pages, served by the control process. */
export class Observability {
  readonly #options: ObservabilityOptions
  readonly #endpoints: HttpEndpoint[] = []

  constructor(options: ObservabilityOptions) {
    this.#options = options
    const { metrics, pods, config } = options
    collectProcessMetrics(metrics)
    metrics.gauge(METRICS.build, `${label('component', 'ztunnel')},${label('tag', config.istioVersion)}`).set(1)
    metrics.onCollect(() => {
      metrics.gauge(METRICS.activeProxies).set(pods.captured.size)
      metrics.gauge(METRICS.pendingProxies).set(pods.pending.size)
    })
  }

  /** Readiness first, so that a probe gets an answer while the rest starts. Throws where a port is taken. */
  async start(): Promise<void> {
    const { config, readiness, log, clock, levels, onLevels, onQuit } = this.#options
    const everywhere = config.worker.ipv6Enabled ? '::' : '0.0.0.0'
    this.#endpoints.push(
      await serveReadiness(readiness, { addresses: [{ address: everywhere, port: READINESS_PORT }], log, clock }),
      await serveMetrics(() => this.#metricsText(), {
        addresses: [{ address: everywhere, port: METRICS_PORT }],
        log,
        clock,
      }),
      await serveAdmin({
        program: 'ztunnel',
        addresses: loopback(config.worker.ipv6Enabled),
        levels,
        targets: LOG_TARGETS,
        onLevels: () => onLevels(levels.toString()),
        configDump: () => configDump(this.#options),
        shutdown: onQuit,
        log,
        clock,
      }),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close(CLOSE_DEADLINE_MS)))
  }

  async #metricsText(): Promise<string> {
    await this.#options.reports.refresh()
    return this.#options.metrics.render(Object.values(METRICS))
  }
}

function loopback(ipv6Enabled: boolean): SocketAddress[] {
  const addresses = [{ address: '127.0.0.1', port: ADMIN_PORT }]
  if (ipv6Enabled && hasIpv6Loopback()) addresses.push({ address: '::1', port: ADMIN_PORT })
  return addresses
}

function hasIpv6Loopback(): boolean {
  try {
    return readFileSync(LOOPBACK_WITHOUT_IPV6, 'utf8').trim() !== '1'
  } catch {
    return true
  }
}
