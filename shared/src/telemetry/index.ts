export { silentLog, type Log, type LogFields } from './log.ts'
export type {
  Baggage,
  ByteCounters,
  ConnectionInfo,
  ConnectionRecorder,
  DestinationInfo,
  EarlyDenial,
  FailureFlag,
  OpenConnection,
  Outcome,
  ResponseFlag,
  ServiceLabels,
  SourceInfo,
  WorkloadLabels,
} from './connection-info.ts'
