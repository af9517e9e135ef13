import type { LogFields } from './log.ts'
import type { LogLevel } from './log-levels.ts'
import { bare, jsonString, MAX_FIELD_CHARACTERS, message, quoted } from './log-text.ts'

/** PIPE_BUF of Linux: a write of at most so many bytes to a pipe is not mixed with those of other processes. */
export const MAX_LINE_BYTES = 4096
/** Per field, for a line that did not fit: 20 fields of this size still do. */
const SHORT_FIELD_CHARACTERS = 128

/** One event, ready to be written. */
export interface LogRecord {
  readonly timeMs: number
  readonly level: LogLevel
  /** The full target: `ztunnel::proxy::inbound`, `access`. */
  readonly target: string
  /** `target` as the plain format shows it. */
  readonly shownTarget: string
  readonly message: string
  readonly fields: LogFields | undefined
}

/** `plain` is tab-separated, `json` one object per line; both end with a line feed, are ASCII and at most 4096 bytes. */
export type LogFormat = 'plain' | 'json'

/** One line of at most MAX_LINE_BYTES; a longer one is written again with its fields cut short, then with fields left out. */
export function formatLine(format: LogFormat, record: LogRecord, time: string): string {
  const write = format === 'json' ? json : plain
  const line = write(record, time, MAX_FIELD_CHARACTERS, Number.POSITIVE_INFINITY)
  if (line.length <= MAX_LINE_BYTES) return line
  return write(record, time, SHORT_FIELD_CHARACTERS, MAX_LINE_BYTES - 2)
}

function plain(record: LogRecord, time: string, fieldLimit: number, lineLimit: number): string {
  let line = `${time}\t${record.level}\t${record.shownTarget}\t${message(record.message, fieldLimit)}`
  let separator = '\t'
  const { fields } = record
  for (const key in fields) {
    const value = fields[key]
    if (value === undefined) continue
    const text = `${separator}${key}=${plainValue(key, value, fieldLimit)}`
    if (line.length + text.length > lineLimit) break
    line += text
    separator = ' '
  }
  return `${line}\n`
}

/** Strings are quoted; numbers, and addresses by the name of their key, are not (Istio's rule). */
function plainValue(key: string, value: string | number | boolean, limit: number): string {
  if (typeof value !== 'string') return String(value)
  return key.endsWith('addr') ? bare(value, limit) : quoted(value, limit)
}

function json(record: LogRecord, time: string, fieldLimit: number, lineLimit: number): string {
  let line = `{"level":"${record.level}","time":"${time}","scope":"${record.target}","message":${jsonString(record.message, fieldLimit)}`
  const { fields } = record
  for (const key in fields) {
    const value = fields[key]
    if (value === undefined) continue
    const text = `,${jsonKey(key)}:${typeof value === 'string' ? jsonString(value, fieldLimit) : jsonNumber(value)}`
    if (line.length + text.length > lineLimit) break
    line += text
  }
  return `${line}}\n`
}

/** A field must not pass for one of the line's own keys. */
function jsonKey(key: string): string {
  return key === 'level' || key === 'time' || key === 'scope' || key === 'message' ? `"field.${key}"` : `"${key}"`
}

function jsonNumber(value: number | boolean): string {
  return typeof value === 'number' && !Number.isFinite(value) ? 'null' : String(value)
}
