import type { CertificateManager } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import type { Mesh } from '@ambit/shared/mesh'
import type { LocalFileSource } from '@ambit/shared/mesh/local'
import {
  collectProcessMetrics,
  label,
  METRICS,
  serveMetrics,
  serveReadiness,
  type HttpEndpoint,
  type Log,
  type LogLevels,
  type MetricRegistry,
  type Readiness,
} from '@ambit/shared/telemetry'
import type { ZtunnelConfig } from '../config/index.ts'
import type { CapturedPods } from './captured-pods.ts'
import type { WorkerReports } from './worker-reports.ts'

/** Istio's ports in the proxy's own namespace. */
const ADMIN_PORT = 15_000
const METRICS_PORT = 15_020
const READINESS_PORT = 15_021
/** Requests under way at shutdown get this long. */
const CLOSE_DEADLINE_MS = 1_000

export interface ObservabilityOptions {
  readonly config: ZtunnelConfig
  readonly readiness: Readiness
  readonly metrics: MetricRegistry
  readonly reports: WorkerReports
  readonly mesh: Mesh
  readonly meshFile: LocalFileSource
  readonly certificates: CertificateManager
  readonly pods: CapturedPods
  readonly levels: LogLevels
  readonly onLevels: (levels: string) => void
  readonly onQuit: () => void
  readonly log: Log
  readonly clock: Clock
}

/** What the proxy tells its operators: readiness, metrics and the admin pages, served by the control process. */
export class Observability {
  readonly #options: ObservabilityOptions
  #endpoints: HttpEndpoint[] = []

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
    const { config, readiness, log, clock } = this.#options
    const everywhere = config.worker.ipv6Enabled ? '::' : '0.0.0.0'
    this.#endpoints.push(
      await serveReadiness(readiness, { addresses: [{ address: everywhere, port: READINESS_PORT }], log, clock }),
    )
    this.#endpoints.push(
      await serveMetrics(() => this.#metricsText(), {
        addresses: [{ address: everywhere, port: METRICS_PORT }],
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
