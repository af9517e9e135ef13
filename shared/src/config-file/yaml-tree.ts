import {
  EVENT_ID,
  getScalarValue,
  parseEvents,
  SCALAR_STYLE,
  YAMLException,
  type Event,
  type EventId,
  type ScalarEvent,
} from 'js-yaml'
import { resolveAliases } from './yaml-aliases.ts'
import { YamlError } from './yaml-error.ts'

/** What stands at a place of a YAML text. */
export type YamlKind = 'scalar' | 'list' | 'mapping'

/** A scalar as it is written; only a plain one, without quotes, can be a number, a truth value or null. */
export interface YamlScalar {
  readonly text: string
  readonly isPlain: boolean
}

/**
 * The one document of a YAML text, as the parser's events with the way from each to its next sibling. A node is the number
 * of its event; there is no object for it. 100,000 workloads (25 MB) take 1 s and 0.5 GB, a tree of nodes as the package
 * `yaml` makes them took 50 s and 2 GB.
 */
export class YamlTree {
  /** Undefined where the document has nothing but comments. */
  readonly root: number | undefined
  readonly #text: string
  readonly #events: readonly Event[]
  /** For each event that begins a node, the event after the node. */
  readonly #ends: Int32Array
  /** For each alias, the node that it stands for. */
  #targets: ReadonlyMap<number, number> = new Map()
  #lineStarts: readonly number[] | undefined

  /** Throws YamlError where the text is not one document of YAML. */
  constructor(text: string) {
    this.#text = text
    this.#events = parse(text)
    this.#ends = new Int32Array(this.#events.length)
    const problems = this.#link()
    if (problems.length > 0) throw new YamlError(problems)
    this.root = this.#events.length > 0 ? 1 : undefined
  }

  kind(node: number): YamlKind {
    return KINDS.get(this.#event(node).type) ?? 'scalar'
  }

  /** The nodes in a list; in a mapping key and value by turns. In place of an alias stands what it names. */
  children(node: number): number[] {
    const children: number[] = []
    const last = this.#end(node) - 1
    for (let child = node + 1; child < last; child = this.#end(child)) children.push(this.#targets.get(child) ?? child)
    return children
  }

  /** Undefined where the node is something else. */
  scalar(node: number): YamlScalar | undefined {
    const event = this.#event(node)
    if (event.type !== EVENT_ID.SCALAR) return undefined
    const isPlain = event.style === SCALAR_STYLE.PLAIN && !TEXT_TAGS.has(this.#rawTag(event))
    return { text: getScalarValue(this.#text, event), isPlain }
  }

  /** True for null, written or left out. */
  isNull(node: number): boolean {
    const event = this.#event(node)
    if (event.type !== EVENT_ID.SCALAR || event.valueEnd - event.valueStart > 4) return false
    const scalar = this.scalar(node)
    return scalar !== undefined && scalar.isPlain && NULL.has(scalar.text)
  }

  /** A tag of the file's own like `!Exact`, without the exclamation mark. */
  tag(node: number): string | undefined {
    const raw = this.#rawTag(this.#event(node))
    return raw === '' || TEXT_TAGS.has(raw) ? undefined : raw.slice(1)
  }

  /** `line:column` of a node, both from 1. */
  place(node: number): string {
    return this.#placeOf(this.#offset(node))
  }

  /** Finds where each node ends and what aliases stand for; answers what is not accepted anywhere. */
  #link(): string[] {
    const problems: string[] = []
    const open: number[] = []
    let hasAliases = false
    for (const [index, event] of this.#events.entries()) {
      if (event.type === EVENT_ID.POP) {
        const opened = open.pop()
        if (opened !== undefined) this.#ends[opened] = index + 1
        continue
      }
      if (event.type === EVENT_ID.SCALAR || event.type === EVENT_ID.ALIAS) this.#ends[index] = index + 1
      else open.push(index)
      if (event.type === EVENT_ID.ALIAS) hasAliases = true
      if (event.type === EVENT_ID.DOCUMENT) {
        if (index > 0) problems.push('the text has more than one document')
        if (event.directives.some(({ kind }) => kind === 'tag')) problems.push('%TAG is not accepted')
        continue
      }
      const tag = this.#rawTag(event)
      if (isForeign(tag)) problems.push(`${this.place(index)} the tag ${tag.slice(0, 100)} is not accepted`)
    }
    if (!hasAliases) return problems
    const aliases = resolveAliases(this.#text, this.#events, this.#ends)
    this.#targets = aliases.targets
    return [...problems, ...aliases.problems.map(([node, sentence]) => `${this.place(node)} ${sentence}`)]
  }

  #event(node: number): Event {
    const event = this.#events[node]
    if (!event) throw new RangeError(`no node ${node}`)
    return event
  }

  #end(node: number): number {
    // Zero only for the events that begin no node; none of them is asked for.
    return this.#ends[node] || this.#events.length
  }

  #rawTag(event: Event): string {
    return 'tagStart' in event && event.tagStart >= 0 ? this.#text.slice(event.tagStart, event.tagEnd) : ''
  }

  #offset(node: number): number {
    const start = startOf(this.#event(node))
    if (start !== undefined) return start
    // Null that is not written has no place of its own: it is where whatever comes before it ends.
    for (let index = node - 1; index >= 0; index--) {
      const event = this.#event(index)
      const before = event.type === EVENT_ID.SCALAR && event.valueEnd >= 0 ? afterScalar(event) : startOf(event)
      if (before === undefined) continue
      SEPARATION.lastIndex = before
      return before + (SEPARATION.exec(this.#text)?.[0].length ?? 0)
    }
    return 0
  }

  #placeOf(offset: number): string {
    this.#lineStarts ??= lineStartsOf(this.#text)
    let [low, high] = [0, this.#lineStarts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return `${low + 1}:${offset - (this.#lineStarts[low] ?? 0) + 1}`
  }
}

const KINDS: ReadonlyMap<EventId, YamlKind> = new Map([
  [EVENT_ID.SEQUENCE, 'list'],
  [EVENT_ID.MAPPING, 'mapping'],
] as const)

const NULL: ReadonlySet<string> = new Set(['', '~', 'null', 'Null', 'NULL'])

/** They say that a scalar is a text, also where it looks like a number. */
const TEXT_TAGS = new Set(['!', '!!str'])

/** What can stand between the end of a value and the place of one that is left out. */
const SEPARATION = /(?:[\s\]},]|#[^\n]*)*/uy

/** Neither `!Name` nor one of TEXT_TAGS: YAML's own types, whose rules are not ours, and tags that are addresses. */
function isForeign(tag: string): boolean {
  return tag !== '' && !TEXT_TAGS.has(tag) && !/^![^!<]+$/u.test(tag)
}

function parse(text: string): readonly Event[] {
  try {
    return parseEvents(text, {})
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error
    const { reason, mark } = error
    throw new YamlError([mark ? `${mark.line + 1}:${mark.column + 1} ${reason}` : reason])
  }
}

function startOf(event: Event): number | undefined {
  if (event.type === EVENT_ID.DOCUMENT || event.type === EVENT_ID.POP) return undefined
  if (event.type === EVENT_ID.ALIAS) return event.anchorStart - 1
  if (event.tagStart >= 0) return event.tagStart
  if (event.type !== EVENT_ID.SCALAR) return event.start
  return event.valueStart < 0 ? undefined : event.valueStart - quoteOf(event)
}

function afterScalar(event: ScalarEvent): number {
  return event.valueEnd + quoteOf(event)
}

/** The parser's range of a quoted scalar is without the quotes. */
function quoteOf({ style }: ScalarEvent): 0 | 1 {
  return style === SCALAR_STYLE.SINGLE_QUOTED || style === SCALAR_STYLE.DOUBLE_QUOTED ? 1 : 0
}

function lineStartsOf(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}
