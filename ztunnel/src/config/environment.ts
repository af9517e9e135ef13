import { parseDurationMs } from '@ambit/shared/clock'
import { ConfigError } from './config-error.ts'
import { Problem, problem } from './problem.ts'

/** One variable that the program reads, as `--help` shows it. */
export interface Variable {
  readonly name: string
  readonly fallback: string
  readonly meaning: string
}

/** Says why a file cannot be read; undefined where it can, or where it may come later and its directory is there. */
export type WhyUnreadable = (path: string, mayComeLater: boolean) => string | undefined

export interface EnvironmentOptions {
  readonly describing?: boolean
  /** Without it no file is looked at. */
  readonly whyUnreadable?: WhyUnreadable
}

/** Durations as they are written, both included. */
export interface DurationRange {
  readonly min?: string
  readonly max?: string
}

/**
 * Reads environment variables, remembers what was asked for (that is the help text) and collects problems instead of
 * throwing at the first. After a problem the fallback is returned so that reading goes on; `finish` throws.
 */
export class Environment {
  readonly #values: Readonly<Record<string, string | undefined>>
  readonly #whyUnreadable: WhyUnreadable
  readonly #problems: string[] = []
  readonly variables: Variable[] = []
  /** What is no problem and yet may not be meant, one sentence each. */
  readonly warnings: string[] = []
  /** True when only the help text is wanted: a variable that is missing is then no problem. */
  readonly describing: boolean

  constructor(
    values: Readonly<Record<string, string | undefined>>,
    { describing = false, whyUnreadable = () => undefined }: EnvironmentOptions = {},
  ) {
    this.#values = values
    this.#whyUnreadable = whyUnreadable
    this.describing = describing
  }

  /** The text of a variable, or undefined where it is not set. An empty text counts as set. */
  optional(name: string, meaning: string, shownFallback = ''): string | undefined {
    this.variables.push({ name, fallback: shownFallback, meaning })
    return this.#values[name]
  }

  text(name: string, fallback: string, meaning: string): string {
    return this.optional(name, meaning, fallback) ?? fallback
  }

  /** Exactly `true` or `false`, as Istio's ztunnel wants it. */
  boolean(name: string, fallback: boolean, meaning: string): boolean {
    return this.parsed(name, String(fallback), meaning, (text) => {
      if (text === 'true') return true
      if (text === 'false') return false
      return problem('must be true or false')
    })
  }

  integer(name: string, fallback: number, range: { min: number; max: number }, meaning: string): number {
    return this.parsed(name, String(fallback), meaning, (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      return value >= range.min && value <= range.max
        ? value
        : problem(`must be a whole number from ${range.min} to ${range.max}`)
    })
  }

  /** `10s`, `5m`, `1m30s`, `500ms`, or a plain number of seconds, within the range; the result is in milliseconds. */
  durationMs(name: string, fallback: string, meaning: string, range: DurationRange = {}): number {
    const { min = '0s', max } = range
    const minMs = parseDurationMs(min) ?? 0
    const maxMs = (max === undefined ? undefined : parseDurationMs(max)) ?? Number.MAX_SAFE_INTEGER
    return this.parsed(name, fallback, meaning, (text) => {
      const durationMs = parseDurationMs(text)
      if (durationMs === undefined) return problem('must be a duration like 10s, 5m, 1m30s or 500ms')
      if (durationMs >= minMs && durationMs <= maxMs) return durationMs
      return problem(`must be a duration of at least ${min}${max === undefined ? '' : ` and at most ${max}`}`)
    })
  }

  /** The path of a file; that it cannot be read is a problem. One that may come later needs only its directory. */
  file(name: string, meaning: string, { mayComeLater = false } = {}): string | undefined {
    const path = this.optional(name, meaning) || undefined
    this.checkFile(name, path, mayComeLater)
    return path
  }

  /** Reports a file that cannot be read. */
  checkFile(name: string, path: string | undefined, mayComeLater = false): void {
    const why = path === undefined ? undefined : this.#whyUnreadable(path, mayComeLater)
    if (why !== undefined) this.report(`${name}="${path}" cannot be read: ${why}`)
  }

  oneOf<const T extends string>(name: string, fallback: T, choices: readonly T[], meaning: string): T {
    return this.parsed(name, fallback, meaning, (text) => {
      const found = choices.find((choice) => choice === text.toLowerCase())
      return found ?? problem(`must be one of ${choices.join(', ')}`)
    })
  }

  /** Reads a variable by a parser of the caller's, which answers `problem(...)` for a value that it refuses. */
  parsed<T>(name: string, fallback: string, meaning: string, parse: (text: string) => T | Problem): T {
    const text = this.optional(name, meaning, fallback)
    const usable = text === undefined || text === '' ? fallback : text
    const value = parse(usable)
    if (!(value instanceof Problem)) return value
    this.#problems.push(`${name}="${clipped(usable)}" ${value.sentence}`)
    const safe = parse(fallback)
    if (safe instanceof Problem) throw new Error(`the default of ${name} does not parse: ${safe.sentence}`)
    return safe
  }

  /** All variables that start with the prefix, the prefix taken off. One that `isGood` refuses is a problem; its value is not shown. */
  prefixed(
    prefix: string,
    meaning: string,
    { isGood, wanted }: { readonly isGood: (name: string, value: string) => boolean; readonly wanted: string },
  ): Record<string, string> {
    this.variables.push({ name: `${prefix}*`, fallback: '', meaning })
    const found: Record<string, string> = {}
    for (const [name, value] of Object.entries(this.#values)) {
      if (!name.startsWith(prefix) || value === undefined) continue
      const rest = name.slice(prefix.length)
      if (isGood(rest, value)) found[rest] = value
      else this.report(`${clipped(name)} ${wanted}`)
    }
    return found
  }

  /** Whether a variable says something, or exactly this. */
  isSet(name: string, to?: string): boolean {
    const text = this.#values[name]
    return to === undefined ? Boolean(text) : text === to
  }

  /** Warns of variables with the prefix that nobody has read and that are for nobody else: a name may be mistyped. */
  warnOfUnread(prefix: string, forOthers: RegExp): void {
    const read = this.variables.map(({ name }) => name).filter((name) => name.startsWith(prefix))
    const unread = Object.keys(this.#values).filter(
      (name) => name.startsWith(prefix) && !read.includes(name) && !forOthers.test(name),
    )
    for (const name of unread) this.warn(`nothing reads ${clipped(name)}; of ${prefix}* there are ${read.join(', ')}`)
  }

  /** A problem that is not of one value alone, such as two variables that exclude each other. */
  report(sentence: string): void {
    if (!this.describing) this.#problems.push(sentence)
  }

  /** Says what may not be meant; whoever starts writes it to the log. */
  warn(sentence: string): void {
    if (!this.describing) this.warnings.push(sentence)
  }

  /** Throws ConfigError when anything was wrong. */
  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems)
  }
}

function clipped(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
