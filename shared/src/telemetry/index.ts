export { createLog, type LogOptions, type ScopedLog } from './create-log.ts'
export { openLog, type OpenedLog, type OpenLogOptions } from './open-log.ts'
export { LogLevels, type LogLevel } from './log-levels.ts'
export { MAX_LINE_BYTES, type LogFormat } from './line-format.ts'
export { LineWriter, type LineSink, type LineWriterOptions } from './line-writer.ts'
export { TelemetryError, type TelemetryErrorCode } from './telemetry-error.ts'
export { createConnectionRecorder, type ConnectionRecorderOptions } from './connection-recorder.ts'
export {
  type Baggage,
  type ByteCounters,
  type ConnectionInfo,
  type ConnectionRecorder,
  type DestinationInfo,
  type EarlyDenial,
  type FailureFlag,
  type OpenConnection,
  type Outcome,
  type ResponseFlag,
  type ServiceLabels,
  type SourceInfo,
  type WorkloadLabels,
} from './connection-info.ts'
export { MetricRegistry, type MetricRegistryOptions, type MetricsDelta } from './metric-registry.ts'
export { OpenTally } from './open-tally.ts'
export type { Counter, Gauge } from './series.ts'
export type { Claim } from './claim.ts'
export { METRICS, TRAFFIC_LABELS, type MetricFamily } from './metric-family.ts'
export { label, labelText } from './label-text.ts'
export { collectProcessMetrics } from './process-metrics.ts'
export {
  HttpEndpoint,
  text,
  type HttpEndpointOptions,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
} from './http-endpoint.ts'
export { Readiness } from './readiness.ts'
export { serveReadiness } from './readiness-server.ts'
export { serveMetrics } from './metrics-server.ts'
export { serveAdmin, type AdminOptions } from './admin-server.ts'
export { assembleConfigDump, type ConfigDumpParts, type DumpedCertificate } from './config-dump.ts'
