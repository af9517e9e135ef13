import type { Clock } from '../clock/index.ts'
import { createLog, type ScopedLog } from './create-log.ts'
import { fileDescriptorSink, type SendNow } from './file-descriptor-sink.ts'
import type { LogFormat } from './line-format.ts'
import { LineWriter } from './line-writer.ts'
import { LogLevels } from './log-levels.ts'

/** Where a program's log goes, and how. */
export interface OpenLogOptions {
  /** Where to write; 1 is standard output, as Istio's ztunnel. */
  readonly fd: number
  /** LOG_FORMAT. */
  readonly format: LogFormat
  /** RUST_LOG; `info` where it is not set. */
  readonly levels: string
  readonly program: string
  readonly clock: Clock
  /** Where it is a socket. */
  readonly sendNow?: SendNow
}

/** A program's log and what steers it. */
export interface OpenedLog {
  readonly log: ScopedLog
  /** Change it to change what is logged from the next line on. */
  readonly levels: LogLevels
  /** Resolves when everything logged so far is written, or nothing was taken for a second. */
  flush(): Promise<void>
  /** For `process.on('exit')`. */
  flushSync(): void
}

/** The log of a process. Throws TelemetryError `bad-level`. The caller keeps the process alive until `flush` at its end. */
export function openLog({ fd, format, levels: specification, program, clock, sendNow }: OpenLogOptions): OpenedLog {
  const levels = new LogLevels(specification)
  const writer = new LineWriter({
    sink: fileDescriptorSink(fd, clock, sendNow),
    clock,
    onDropped: (lines) => log.warn('log lines dropped: the reader of the log is too slow', { lines }),
  })
  const log = createLog({ write: (line) => writer.write(line), format, clock, levels, program })
  return { log, levels, flush: () => writer.flush(), flushSync: () => writer.flushSync() }
}
