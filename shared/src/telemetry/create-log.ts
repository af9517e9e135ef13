import type { Clock } from '../clock/index.ts'
import { boundedLine, lineFormat, type LineFormat, type LineHead, type LogFormat } from './line-format.ts'
import type { Log, LogFields } from '../log/index.ts'
import { levelRank, type LogLevel, type LogLevels } from './log-levels.ts'
import { Timestamps } from './timestamp.ts'

/** How lines are made, and who takes them. */
export interface LogOptions {
  /** Takes one whole line, ending in a line feed; a LineWriter's `write`. Must not throw. */
  readonly write: (line: string) => void
  readonly format: LogFormat
  readonly clock: Clock
  readonly levels: LogLevels
  /** The first part of every target, left out in the plain format. */
  readonly program: string
}

/** A Log with targets below it. */
export interface ScopedLog extends Log {
  /** The log of a part of the program: `scope('proxy::inbound')` writes as `ztunnel::proxy::inbound`. */
  scope(target: string): ScopedLog
  /** The log of a target with a name of its own, which does not begin with the program's: `access`. */
  target(name: string): ScopedLog
  /** Whether a line of this level would be written, for callers whose fields are dear to make. */
  enabled(level: LogLevel): boolean
  /** For a hot path: how fields are written, so that those which repeat are written once … */
  readonly format: LineFormat
  /** … and a line of fields already written. The caller keeps it within MAX_LINE_BYTES. */
  written(level: LogLevel, message: string, fields: string): void
}

/** Writes lines of the levels in force. Messages and fields are cut and escaped here; callers pass text as it came. */
export function createLog({ format, program, ...options }: LogOptions): ScopedLog {
  const shared = { ...options, program, format: lineFormat(format), timestamps: new Timestamps() }
  return new TargetLog(shared, program, program)
}

interface Shared extends Omit<LogOptions, 'format'> {
  readonly format: LineFormat
  readonly timestamps: Timestamps
}

class TargetLog implements ScopedLog {
  readonly format: LineFormat
  readonly #shared: Shared
  readonly #target: string
  readonly #shownTarget: string
  #levelsVersion = -1
  #threshold = 0

  constructor(shared: Shared, target: string, shownTarget: string) {
    this.format = shared.format
    this.#shared = shared
    this.#target = target
    this.#shownTarget = shownTarget
  }

  scope(target: string): ScopedLog {
    return new TargetLog(this.#shared, `${this.#shared.program}::${target}`, target)
  }

  target(name: string): ScopedLog {
    return new TargetLog(this.#shared, name, name)
  }

  enabled(level: LogLevel): boolean {
    const { levels } = this.#shared
    if (levels.version !== this.#levelsVersion) {
      this.#levelsVersion = levels.version
      this.#threshold = levels.threshold(this.#target)
    }
    return levelRank(level) <= this.#threshold
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  written(level: LogLevel, message: string, fields: string): void {
    if (this.enabled(level)) this.#shared.write(this.format.line(this.#head(level, message), fields))
  }

  #write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (this.enabled(level)) this.#shared.write(boundedLine(this.format, this.#head(level, message), fields))
  }

  #head(level: LogLevel, message: string): LineHead {
    const { clock, timestamps } = this.#shared
    const time = timestamps.format(clock.now())
    return { time, level, target: this.#target, shownTarget: this.#shownTarget, message }
  }
}
