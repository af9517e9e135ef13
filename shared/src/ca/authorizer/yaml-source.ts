import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type YAMLMap } from 'yaml'
import { CaError } from '../ca-error.ts'

/** Problems of one file that are reported; the rest is counted. */
const MAX_REPORTED = 20

/** A node of a YAML document that may be missing. */
export type YamlNode = Node | null | undefined

/** A parsed YAML file that collects what is wrong with it, each with its line. */
export class YamlSource {
  readonly root: YamlNode
  readonly #path: string
  readonly #lines = new LineCounter()
  readonly #problems: string[] = []

  constructor(path: string, text: string) {
    this.#path = path
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true })
    for (const error of document.errors) this.#add(error.pos[0], error.message)
    this.root = document.contents
  }

  report(node: YamlNode, sentence: string): void {
    this.#add(node?.range?.[0] ?? 0, sentence)
  }

  /** Throws CaError 'bad-authorizer' that lists what was wrong, if anything was. */
  finish(): void {
    const [...problems] = this.#problems.slice(0, MAX_REPORTED)
    if (problems.length === 0) return
    const more = this.#problems.length - problems.length
    if (more > 0) problems.push(`and ${more} more`)
    throw new CaError('bad-authorizer', `The authorizer file ${this.#path} cannot be used: ${problems.join('; ')}`)
  }

  /** The values of a map by key; an unknown key is a problem. Undefined, and a problem, where it is no map. */
  map(node: YamlNode, what: string, keys: readonly string[]): ReadonlyMap<string, YamlNode> | undefined {
    if (!isMap(node)) {
      this.report(node, `${what} must be a map with ${keys.join(', ')}`)
      return undefined
    }
    return this.#entries(node, what, keys)
  }

  /** The items of a list; none where it is missing, a problem where it is something else. */
  list(node: YamlNode, what: string, limit: number): readonly YamlNode[] {
    if (node === undefined || node === null || (isScalar(node) && node.value === null)) return []
    if (!isSeq(node)) {
      this.report(node, `${what} must be a list`)
      return []
    }
    if (node.items.length > limit) {
      this.report(node, `${what} has more than ${limit} items`)
      return []
    }
    // Items of a parsed document are nodes; plain values only occur in documents that a program made.
    return node.items as Node[]
  }

  /** A text that is not empty; undefined where it is missing, and a problem where it is something else. */
  text(node: YamlNode, what: string): string | undefined {
    if (node === undefined) return undefined
    if (isScalar(node) && typeof node.value === 'string' && node.value !== '') return node.value
    this.report(node, `${what} must be a text, in quotes if it looks like a number`)
    return undefined
  }

  #entries(node: YAMLMap, what: string, keys: readonly string[]): Map<string, YamlNode> {
    const entries = new Map<string, YamlNode>()
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : ''
      // As above: keys and values of a parsed document are nodes.
      if (keys.includes(name)) entries.set(name, value as YamlNode)
      else
        this.report(
          key as YamlNode,
          `${what} has the unknown key ${JSON.stringify(name.slice(0, 60))}; known are ${keys.join(', ')}`,
        )
    }
    return entries
  }

  #add(offset: number, sentence: string): void {
    this.#problems.push(`line ${this.#lines.linePos(offset).line}: ${sentence}`)
  }
}
