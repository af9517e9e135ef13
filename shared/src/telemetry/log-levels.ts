import { TelemetryError } from './telemetry-error.ts'

/** From silent to talkative; a line is written when its level's index is not above that of its target. */
const LEVELS = ['off', 'error', 'warn', 'info', 'debug', 'trace'] as const

/** What a line may be logged at, the gravest first. */
export type LogLevel = Exclude<(typeof LEVELS)[number], 'off'>
type Threshold = (typeof LEVELS)[number]

/** Directives for single targets that one specification may hold; a longer one is refused. */
const MAX_DIRECTIVES = 100

interface Directives {
  readonly fallback: Threshold | undefined
  readonly targets: ReadonlyMap<string, Threshold>
}

/**
 * Which targets write at which level, from a specification as RUST_LOG has it: a comma list of a bare level
 * (off, error, warn, info, debug, trace) for all targets and of `target=level`, which also holds for the targets below it
 * (`ztunnel::proxy` for `ztunnel::proxy::inbound`). The longest target wins. Where the initial specification names no bare
 * level, it is info: to ask for more of one target must not silence the rest.
 */
export class LogLevels {
  readonly #initial: Directives
  #fallback: Threshold = 'info'
  #targets = new Map<string, Threshold>()
  #version = 0

  /** Throws TelemetryError `bad-level`. */
  constructor(initial = 'info') {
    this.#initial = parse(initial)
    this.reset()
  }

  /** Grows with every change, so that a target may keep its threshold in between. */
  get version(): number {
    return this.#version
  }

  /** Adds directives to those in force. Throws TelemetryError `bad-level` and then changes nothing. */
  add(specification: string): void {
    const { fallback, targets } = parse(specification)
    const merged = new Map([...this.#targets, ...targets])
    if (merged.size > MAX_DIRECTIVES) throw badLevel(`more than ${MAX_DIRECTIVES} targets`)
    this.#targets = merged
    this.#fallback = fallback ?? this.#fallback
    this.#version++
  }

  /** Back to the initial specification. */
  reset(): void {
    this.#fallback = this.#initial.fallback ?? 'info'
    this.#targets = new Map(this.#initial.targets)
    this.#version++
  }

  /** How many levels the target writes: 0 none, 1 errors, …, 5 traces. */
  threshold(target: string): number {
    let longest = -1
    let threshold = this.#fallback
    for (const [prefix, level] of this.#targets) {
      if (prefix.length <= longest || !isWithin(target, prefix)) continue
      longest = prefix.length
      threshold = level
    }
    return LEVELS.indexOf(threshold)
  }

  /** What is to be said where the specification in force names targets that nothing logs as; undefined where all are known. */
  noteOn(known: readonly string[]): string | undefined {
    const unknown = [...this.#targets.keys()].filter((prefix) => !known.some((target) => isWithin(target, prefix)))
    if (unknown.length === 0) return undefined
    return `nothing logs as ${unknown.join(', ')}; targets are ${known.join(', ')}`
  }

  /** The specification in force: targets first (longest, then alphabetical), the bare level last: `access=debug,info`. */
  toString(): string {
    const targets = [...this.#targets].sort(([a], [b]) => b.length - a.length || (a < b ? -1 : 1))
    return [...targets.map(([target, level]) => `${target}=${level}`), this.#fallback].join(',')
  }
}

/** Rank of a level, to compare with `threshold`. */
export function levelRank(level: LogLevel): number {
  return LEVELS.indexOf(level)
}

function isWithin(target: string, prefix: string): boolean {
  return target === prefix || target.startsWith(`${prefix}::`)
}

function parse(specification: string): Directives {
  let fallback: Threshold | undefined
  const targets = new Map<string, Threshold>()
  for (const directive of specification.split(',')) {
    const text = directive.trim()
    const equals = text.indexOf('=')
    if (equals < 0) {
      fallback = threshold(text)
    } else {
      targets.set(targetName(text.slice(0, equals)), threshold(text.slice(equals + 1)))
    }
    if (targets.size > MAX_DIRECTIVES) throw badLevel(`more than ${MAX_DIRECTIVES} targets`)
  }
  return { fallback, targets }
}

function threshold(text: string): Threshold {
  const found = LEVELS.find((level) => level === text.toLowerCase())
  if (!found) throw badLevel(`${JSON.stringify(text.slice(0, 100))} is none of ${LEVELS.join(', ')} nor target=level`)
  return found
}

function targetName(text: string): string {
  if (!/^[\w:.-]{1,100}$/.test(text)) throw badLevel(`${JSON.stringify(text.slice(0, 100))} is no target name`)
  return text
}

function badLevel(why: string): TelemetryError {
  return new TelemetryError('bad-level', why, { source: 'config' })
}
