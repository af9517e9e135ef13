import { parseArgs } from 'node:util'
import { messageOf } from '../../errors/index.ts'
import { CaError } from '../ca-error.ts'

/** One option of the command line, as the help shows it. */
export interface Option {
  /** The variable for it; Istio's where one exists. */
  readonly variable: string
  readonly value: string
  readonly fallback?: string
  readonly meaning: string
}

/** What was given by options and variables; collects problems instead of throwing at the first. */
export class GivenOptions<Name extends string> {
  readonly wantsHelp: boolean
  readonly #options: Readonly<Record<Name, Option>>
  readonly #values = new Map<string, { readonly text: string; readonly where: string }>()
  readonly #problems: string[] = []
  /** Names of what did not parse. */
  readonly #refused = new Set<string>()

  constructor(
    known: Readonly<Record<Name, Option>>,
    words: readonly string[],
    variables: Readonly<Record<string, string | undefined>>,
  ) {
    this.#options = known
    for (const [name, { variable }] of Object.entries<Option>(known)) {
      const text = variables[variable]
      if (text) this.#values.set(name, { text, where: variable })
    }
    const options = Object.fromEntries(Object.keys(known).map((name) => [name, { type: 'string' as const }]))
    const { tokens } = parseArgs({
      args: [...words],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      strict: false,
      tokens: true,
    })
    this.wantsHelp = tokens.some((token) => token.kind === 'option' && token.name === 'help')
    this.#reportKept(variables)
    const seen = new Set<string>()
    for (const token of tokens) {
      if (token.kind === 'positional') this.report(`unknown word ${JSON.stringify(token.value)}`)
      if (token.kind !== 'option' || token.name === 'help') continue
      if (!Object.hasOwn(known, token.name)) this.report(`unknown option ${token.rawName}`)
      else if (seen.has(token.name)) this.report(`${token.rawName} is given twice`)
      else if (token.value === undefined || token.value === '') this.report(`${token.rawName} needs a value`)
      else this.#values.set(token.name, { text: token.value, where: token.rawName })
      seen.add(token.name)
    }
  }

  report(sentence: string): void {
    this.#problems.push(sentence)
  }

  /** Options that were typed before `--` npm keeps to itself, and says so by variables alone. */
  #reportKept(variables: Readonly<Record<string, string | undefined>>): void {
    const kept = Object.keys(this.#options).filter((name) => variables[`npm_config_${name.replaceAll('-', '_')}`])
    if (kept.length === 0) return
    const words = kept.map((name) => `--${name} …`).join(' ')
    this.report(`npm takes options before -- for its own; type: npm run ca -- ${words}`)
  }

  optional(name: Name): string | undefined {
    return this.#values.get(name)?.text
  }

  isGiven(name: Name): boolean {
    return this.#values.has(name)
  }

  /** Its value was read, and a problem was noted. */
  isRefused(name: Name): boolean {
    return this.#refused.has(name)
  }

  /** `wanted` says what it is, where it is missing. */
  required(name: Name, wanted: string): string {
    const text = this.optional(name)
    if (text === undefined) this.report(`--${name} (${this.#options[name].variable}) is missing: ${wanted}`)
    return text ?? ''
  }

  /** The value, or the fallback after a problem was noted. `parse` throws with what is wrong. */
  read<T>(name: Name, parse: (text: string) => T): T {
    const fallback = this.#options[name].fallback ?? ''
    const { text, where } = this.#values.get(name) ?? { text: fallback, where: '' }
    try {
      return parse(text)
    } catch (error) {
      this.report(`${where} ${JSON.stringify(text.slice(0, 100))}: ${messageOf(error)}`)
      this.#refused.add(name)
      return parse(fallback)
    }
  }

  /** Throws CaError 'usage' that lists every problem. */
  finish(): void {
    if (this.#problems.length === 0) return
    throw new CaError('usage', `wrong options:\n${this.#problems.map((problem) => `  - ${problem}`).join('\n')}`)
  }
}
