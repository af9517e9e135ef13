import type { LogFields } from '../log/index.ts'
import type { LogLevel } from './log-levels.ts'
import { bare, jsonString, MAX_FIELD_CHARACTERS, message, quoted } from './log-text.ts'

/** PIPE_BUF of Linux: a write of at most so many bytes to a pipe is not mixed with those of other processes. */
export const MAX_LINE_BYTES = 4096
/** Per field, for a line that did not fit: 20 fields of this size still do. */
const SHORT_FIELD_CHARACTERS = 128

/** `plain` is tab-separated, `json` one object per line; both end with a line feed, are ASCII and at most 4096 bytes. */
export type LogFormat = 'plain' | 'json'

/** What a line says before its fields. */
export interface LineHead {
  /** RFC 3339. */
  readonly time: string
  readonly level: LogLevel
  /** The full target: `ztunnel::proxy::inbound`, `access`. */
  readonly target: string
  /** `target` as the plain format shows it. */
  readonly shownTarget: string
  readonly message: string
}

/** One of the two ways to write a line. */
export interface LineFormat {
  /** What stands between two fields. */
  readonly separator: string
  /** One field, its value cut to `limit` characters. */
  field(key: string, value: LogValue, limit: number): string
  /** A whole line; `fields` are written fields with separators between them, or empty. */
  line(head: LineHead, fields: string): string
}

type LogValue = string | number | boolean

/** The format of that name. */
export function lineFormat(name: LogFormat): LineFormat {
  return name === 'json' ? json : plain
}

/** One line of at most MAX_LINE_BYTES; a longer one is written again with its fields cut short and the last ones left out. */
export function boundedLine(format: LineFormat, head: LineHead, fields: LogFields = {}): string {
  const line = format.line(head, allFields(format, fields, MAX_FIELD_CHARACTERS, Number.POSITIVE_INFINITY))
  if (line.length <= MAX_LINE_BYTES) return line
  // Without fields a line is at most 1200 bytes: a message of 1024, a time, a target that is ours.
  return format.line(head, allFields(format, fields, SHORT_FIELD_CHARACTERS, MAX_LINE_BYTES - 1200))
}

/** The fields that are defined, none further once `totalLimit` characters are reached. */
function allFields(format: LineFormat, fields: LogFields, fieldLimit: number, totalLimit: number): string {
  let text = ''
  for (const key in fields) {
    const value = fields[key]
    if (value === undefined) continue
    const field = `${text === '' ? '' : format.separator}${format.field(key, value, fieldLimit)}`
    if (text.length + field.length > totalLimit) break
    text += field
  }
  return text
}

const plain: LineFormat = {
  separator: ' ',
  /** Strings are quoted; numbers, and addresses by the name of their key, are not (Istio's rule). */
  field(key, value, limit) {
    if (typeof value !== 'string') return `${key}=${value}`
    return `${key}=${key.endsWith('addr') ? bare(value, limit) : quoted(value, limit)}`
  },
  line({ time, level, shownTarget, message: text }, fields) {
    const head = `${time}\t${level}\t${shownTarget}\t${message(text, MAX_FIELD_CHARACTERS)}`
    return fields === '' ? `${head}\n` : `${head}\t${fields}\n`
  },
}

const json: LineFormat = {
  separator: ',',
  field(key, value, limit) {
    if (typeof value === 'string') return `${jsonKey(key)}:${jsonString(value, limit)}`
    return `${jsonKey(key)}:${typeof value === 'number' && !Number.isFinite(value) ? 'null' : value}`
  },
  line({ time, level, target, message: text }, fields) {
    const head = `{"level":"${level}","time":"${time}","scope":"${target}","message":${jsonString(text, MAX_FIELD_CHARACTERS)}`
    return fields === '' ? `${head}}\n` : `${head},${fields}}\n`
  },
}

/** A field must not pass for one of the line's own keys. */
function jsonKey(key: string): string {
  return key === 'level' || key === 'time' || key === 'scope' || key === 'message' ? `"field.${key}"` : `"${key}"`
}
