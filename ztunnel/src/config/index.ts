export { describeVariables, readConfig, type PodIdentity, type WorkerConfig, type ZtunnelConfig } from './config.ts'
export { ConfigError, type Variable } from './environment.ts'
export { whyUnreadable } from './why-unreadable.ts'
