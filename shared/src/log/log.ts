/** Values that a log line may carry beside its message. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

/** What every room logs to. Passed in; there is no global logger. */
export interface Log {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
}

/** Drops everything: for tests and for callers that do not care. */
export const silentLog: Log = { error() {}, warn() {}, info() {}, debug() {} }
