import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type Scalar } from 'yaml'
import { YamlError } from './yaml-error.ts'

/** What serde_yaml takes for one; 007 is a text for it, and 1e3 no whole number. */
const WHOLE_NUMBER = /^[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+)$/u

interface Source {
  readonly lines: LineCounter
  readonly problems: string[]
}

/**
 * One value of a YAML text while it is read strictly. A reader that meets something wrong notes it with line and column,
 * answers a fallback and goes on, so that all problems are told together.
 */
export class YamlValue {
  readonly #source: Source
  readonly #node: Node | undefined
  readonly #path: string

  /** Where a value that is not there is missed. */
  readonly #parent: Node | undefined

  private constructor(source: Source, node: Node | undefined, path: string, parent?: Node) {
    this.#source = source
    this.#node = node
    this.#parent = parent
    this.#path = path
    // An alias could name what contains it, or multiply without end.
    if (isAlias(node)) this.problem('aliases (*name) are not accepted; write the value out')
  }

  /** Parses `text` and lets `read` make the result. Throws YamlError with every problem. */
  static read<T>(text: string, read: (root: YamlValue) => T): T {
    const lines = new LineCounter()
    const document = parseDocument(text, { lineCounter: lines, logLevel: 'silent', uniqueKeys: true })
    const source: Source = { lines, problems: [] }
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0])
      source.problems.push(`${line}:${col} ${error.message.split('\n')[0] ?? ''}`)
    }
    if (source.problems.length > 0) throw new YamlError(source.problems)
    const result = read(new YamlValue(source, document.contents ?? undefined, ''))
    if (source.problems.length > 0) throw new YamlError(source.problems)
    return result
  }

  /** True where the key is missing or its value is null. */
  get isAbsent(): boolean {
    return this.#node === undefined || (isScalar(this.#node) && this.#node.value === null && this.tag === undefined)
  }

  /** True where the key is there and its value is null: what a template writes that has no value, or half a line. */
  get isNull(): boolean {
    return this.#node !== undefined && this.isAbsent
  }

  /** A tag like `!Exact`, without the exclamation mark. */
  get tag(): string | undefined {
    const tag = this.#node?.tag
    return tag?.startsWith('!') && !tag.startsWith('!!') ? tag.slice(1) : undefined
  }

  /** Notes what is wrong with this value. */
  problem(sentence: string): void {
    const offset = (this.#node ?? this.#parent)?.range?.[0]
    const at = offset === undefined ? undefined : this.#source.lines.linePos(offset)
    this.#source.problems.push(
      `${at ? `${at.line}:${at.col} ` : ''}${this.#path === '' ? '' : `${this.#path}: `}${sentence}`,
    )
  }

  /** The values of a mapping by the keys it may have; any other key is a problem. */
  fields<const Keys extends readonly string[]>(...keys: Keys): Readonly<Record<Keys[number], YamlValue>> {
    const found = new Map<string, YamlValue>()
    for (const [key, value] of this.entries()) {
      if (keys.includes(key)) found.set(key, value)
      else value.problem(`unknown key; it may be one of ${keys.join(', ')}`)
    }
    const absent = (key: string): YamlValue =>
      new YamlValue(
        this.#source,
        undefined,
        this.#path === '' ? key : `${this.#path}.${key}`,
        this.#node ?? this.#parent,
      )
    // Every key of `keys` is set, and only those.
    return Object.fromEntries(keys.map((key) => [key, found.get(key) ?? absent(key)])) as Record<
      Keys[number],
      YamlValue
    >
  }

  /** Key and value of every entry of a mapping; none where absent. */
  entries(): readonly (readonly [string, YamlValue])[] {
    if (this.isAbsent) return []
    if (!isMap<Node, Node>(this.#node)) {
      this.problem('must be a mapping')
      return []
    }
    return this.#node.items.map(({ key, value }) => {
      const name = isScalar(key) ? writtenText(key) : '?'
      const path = this.#path === '' ? name : `${this.#path}.${name}`
      return [name, new YamlValue(this.#source, value ?? key, path)]
    })
  }

  /** The items of a list; none where absent. An item that is null is a problem, and left out. */
  list(): readonly YamlValue[] {
    if (this.isAbsent) return []
    if (!isSeq<Node>(this.#node)) {
      this.problem('must be a list')
      return []
    }
    const items = this.#node.items.map((item, index) => new YamlValue(this.#source, item, `${this.#path}[${index}]`))
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
    if (isScalar(this.#node) && this.#node.value !== null) return writtenText(this.#node)
    this.problem('must be a text')
    return ''
  }

  boolean(fallback?: boolean): boolean {
    if (this.isAbsent) return this.#missing(fallback, false)
    if (isScalar(this.#node) && typeof this.#node.value === 'boolean') return this.#node.value
    this.problem('must be true or false')
    return false
  }

  integer(range: { readonly min: number; readonly max: number }, fallback?: number): number {
    if (this.isAbsent) return this.#missing(fallback, range.min)
    const value = isScalar(this.#node) ? this.#node.value : undefined
    const isWritten = isScalar(this.#node) && WHOLE_NUMBER.test(writtenText(this.#node))
    if (typeof value === 'number' && isWritten && value >= range.min && value <= range.max) return value
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
}

/** As it stands in the file, not what YAML makes of it: 1.10 and not 1.1. */
function writtenText({ source, value }: Scalar): string {
  return source ?? String(value)
}
