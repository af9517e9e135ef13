import { messageOf } from '../errors/index.ts'
import { YamlError } from './yaml-error.ts'
import { YamlTree, type YamlScalar } from './yaml-tree.ts'

/** What serde_yaml takes for one; 007 is a text for it, and 1e3 no whole number. */
const WHOLE_NUMBER = /^[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+)$/u

/** What YAML 1.2 takes for one; yes and no are texts. */
const TRUTH: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'True', 'TRUE'].map((text) => [text, true] as const),
  ...['false', 'False', 'FALSE'].map((text) => [text, false] as const),
])

/** Problems whose place is looked up; only the first ones are shown. */
const MAX_PLACES = 1_000

/** Warnings that are told; of further ones only how many there are. */
const MAX_WARNINGS = 10

interface Source {
  readonly tree: YamlTree
  readonly problems: string[]
  readonly warnings: string[]
  /** Beyond those. */
  furtherWarnings: number
}

/** How strictly a text is read, and who hears of what is hardly meant. */
export interface ReadOptions {
  /** False: a text that says nothing is a problem, for it may be what is left of one that did. Default true. */
  readonly mayBeEmpty?: boolean
  /** Gets each warning of a text that can be read, after all of it was: at most ten, and a last one that counts the rest. */
  readonly warn?: (sentence: string) => void
}

/**
 * One value of a YAML text while it is read strictly. A reader that meets something wrong notes it with line and column,
 * answers a fallback and goes on, so that all problems are told together.
 */
export class YamlValue {
  readonly #source: Source
  readonly #node: number | undefined
  /** What it is a part of, and its key or index there. */
  readonly #parent: YamlValue | undefined
  readonly #step: string
  /** Of the key of a mapping. */
  readonly #keyNode: number | undefined

  private constructor(source: Source, node: number | undefined, parent?: YamlValue, step = '', keyNode?: number) {
    this.#source = source
    this.#node = node
    this.#parent = parent
    this.#step = step
    this.#keyNode = keyNode
  }

  /**
   * Parses `text` and lets `read` make the result. Throws YamlError with every problem, of a text that is no YAML with the
   * first.
   */
  static read<T>(text: string, read: (root: YamlValue) => T, { mayBeEmpty = true, warn }: ReadOptions = {}): T {
    const source: Source = { tree: new YamlTree(text), problems: [], warnings: [], furtherWarnings: 0 }
    const root = new YamlValue(source, source.tree.root)
    if (root.isAbsent && !mayBeEmpty) root.problem('the file says nothing; write {} if that is meant')
    const result = read(root)
    if (source.problems.length > 0) throw new YamlError(source.problems)
    for (const warning of source.warnings) warn?.(warning)
    if (source.furtherWarnings > 0) warn?.(`and ${source.furtherWarnings} more`)
    return result
  }

  /** True where the key is missing or its value is null. */
  get isAbsent(): boolean {
    return this.#node === undefined || (this.#source.tree.isNull(this.#node) && this.tag === undefined)
  }

  /** True where the key is there and its value is null: what a template writes that has no value, or half a line. */
  get isNull(): boolean {
    return this.#node !== undefined && this.isAbsent
  }

  /** A tag like `!Exact`, without the exclamation mark. */
  get tag(): string | undefined {
    return this.#node === undefined ? undefined : this.#source.tree.tag(this.#node)
  }

  /** Notes what is wrong with this value. */
  problem(sentence: string): void {
    this.#note(sentence, () => this.#place)
  }

  /** A problem of this value that shows only after all was read: with its place, for a YamlError of the caller's. */
  problemLater(sentence: string): string {
    return this.#told(sentence, this.#place)
  }

  /** Notes what can be read and is hardly meant. */
  warning(sentence: string): void {
    const { warnings } = this.#source
    if (warnings.length < MAX_WARNINGS) warnings.push(this.#told(sentence, this.#place))
    else this.#source.furtherWarnings++
  }

  /** The values of a mapping by the keys it may have; any other key is a problem. */
  fields<const Keys extends readonly string[]>(...keys: Keys): Readonly<Record<Keys[number], YamlValue>> {
    const found: Record<string, YamlValue | undefined> = {}
    for (const key of keys) found[key] = undefined
    for (const [key, value] of this.entries()) {
      if (Object.hasOwn(found, key)) found[key] = value
      else value.#keyProblem(`unknown key; it may be one of ${keys.join(', ')}`)
    }
    for (const key of keys) found[key] ??= new YamlValue(this.#source, undefined, this, key)
    // Every key of `keys` is set, and only those.
    return found as Record<Keys[number], YamlValue>
  }

  /** Key and value of every entry of a mapping; none where absent. */
  entries(): readonly (readonly [string, YamlValue])[] {
    const nodes = this.#children('mapping')
    const entries: [string, YamlValue][] = []
    const seen = new Set<string>()
    for (let index = 0; index + 1 < nodes.length; index += 2) {
      const key = nodes[index]
      const name = key === undefined ? undefined : this.#source.tree.scalar(key)?.text
      const value = new YamlValue(this.#source, nodes[index + 1], this, name ?? '?', key)
      if (name === undefined) value.#keyProblem('the key must be a text')
      else if (seen.has(name)) value.#keyProblem('is there twice, keys must be unique')
      else entries.push([name, value])
      seen.add(name ?? '')
    }
    return entries
  }

  /** The items of a list; none where absent. An item that is null is a problem, and left out. */
  list(): readonly YamlValue[] {
    const items = this.#children('list').map((node, index) => new YamlValue(this.#source, node, this, `[${index}]`))
    return items.filter((item) => {
      if (item.isAbsent) item.problem('must not be null')
      return !item.isAbsent
    })
  }

  /**
   * A text. A number or boolean counts as it is written, as for serde_yaml: a namespace 007 is not one of the name 7.
   * Where null stands for it, it is absent.
   */
  text(fallback?: string): string {
    if (this.isAbsent) return this.#missing(fallback, '')
    // Under a tag (!Exact ~) null is not absent, and no text either.
    const scalar = this.#node !== undefined && this.#source.tree.isNull(this.#node) ? undefined : this.#scalar
    if (scalar) return scalar.text
    this.problem('must be a text')
    return ''
  }

  /** A text that `parse` takes; what it throws otherwise is the problem. The fallback is not parsed. */
  parsed(parse: (text: string) => string, fallback?: string): string {
    const text = this.text(fallback)
    if (this.isAbsent) return text
    try {
      return parse(text)
    } catch (error) {
      this.problem(messageOf(error))
      return text
    }
  }

  boolean(fallback?: boolean): boolean {
    if (this.isAbsent) return this.#missing(fallback, false)
    const scalar = this.#scalar
    const value = scalar?.isPlain ? TRUTH.get(scalar.text) : undefined
    if (value !== undefined) return value
    this.problem('must be true or false')
    return false
  }

  integer(range: { readonly min: number; readonly max: number }, fallback?: number): number {
    if (this.isAbsent) return this.#missing(fallback, range.min)
    const scalar = this.#scalar
    const value = scalar?.isPlain && WHOLE_NUMBER.test(scalar.text) ? Number(scalar.text) : Number.NaN
    if (value >= range.min && value <= range.max) return value
    this.problem(`must be a whole number from ${range.min} to ${range.max}`)
    return range.min
  }

  oneOf<const T extends string>(choices: readonly [T, ...T[]], fallback?: T): T {
    if (this.isAbsent) return this.#missing(fallback, choices[0])
    const text = this.text()
    const found = choices.find((choice) => choice === text)
    if (found !== undefined) return found
    this.problem(`must be one of ${choices.join(', ')}`)
    return choices[0]
  }

  #missing<T>(fallback: T | undefined, neutral: T): T {
    if (fallback !== undefined) return fallback
    this.problem('is required')
    return neutral
  }

  #children(kind: 'list' | 'mapping'): readonly number[] {
    if (this.#node === undefined || this.isAbsent) return []
    const { tree } = this.#source
    if (tree.kind(this.#node) === kind) return tree.children(this.#node)
    this.problem(`must be a ${kind}`)
    return []
  }

  get #scalar(): YamlScalar | undefined {
    return this.#node === undefined ? undefined : this.#source.tree.scalar(this.#node)
  }

  /** Of a block the value begins in the line after its key. */
  #keyProblem(sentence: string): void {
    this.#note(sentence, () => (this.#keyNode === undefined ? this.#place : this.#source.tree.place(this.#keyNode)))
  }

  #note(sentence: string, place: () => string): void {
    const { problems } = this.#source
    problems.push(this.#told(sentence, problems.length < MAX_PLACES ? place() : ''))
  }

  #told(sentence: string, place: string): string {
    const path = this.#path
    return `${place === '' ? '' : `${place} `}${path === '' ? '' : `${path}: `}${sentence}`
  }

  /** Of what it is missed in, where it is not there. */
  get #place(): string {
    if (this.#node !== undefined) return this.#source.tree.place(this.#node)
    return this.#parent ? this.#parent.#place : ''
  }

  get #path(): string {
    const before = this.#parent ? this.#parent.#path : ''
    return before === '' || this.#step.startsWith('[') ? `${before}${this.#step}` : `${before}.${this.#step}`
  }
}
