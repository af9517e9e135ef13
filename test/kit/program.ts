import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { eventually } from './eventually.ts'

/** Output that is kept of a program; the oldest goes first. */
const MAX_OUTPUT = 16 * 1024 * 1024

/** A program has ended, but a child of it still holds its output: the rest is waited for no longer than this. */
const OUTPUT_GRACE_MS = 1_000

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Output goes there and is not collected: for what says much while something is measured. */
  readonly outputFile?: string | undefined
}

/** A real program running in the background, its output collected. Whoever starts it stops it. */
export class Program {
  readonly name: string
  readonly #child: ChildProcess
  readonly #exited: Promise<number | null>
  readonly #outputFile: string | undefined
  #output = ''
  #code: number | null | undefined

  constructor(name: string, words: readonly string[], { env = {}, outputFile }: ProgramOptions = {}) {
    const [program = '', ...rest] = words
    this.name = name
    this.#outputFile = outputFile
    const output = outputFile === undefined ? 'pipe' : openSync(outputFile, 'a')
    // A session of its own: a Ctrl-C reaches whoever started it, and that one ends it.
    const stdio = ['pipe', output, output] as const
    this.#child = spawn(program, rest, { stdio: [...stdio], env: { ...process.env, ...env }, detached: true })
    if (typeof output === 'number') closeSync(output)
    const collect = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString('utf8')).slice(-MAX_OUTPUT)
    }
    this.#child.stdout?.on('data', collect)
    this.#child.stderr?.on('data', collect)
    this.#child.stdin?.on('error', () => {
      // It has ended; `exited` tells.
    })
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#output += `\n${error.message}`
        this.#code = null
        resolve(null)
      })
      const ended = (code: number | null): void => {
        clearTimeout(patience)
        this.#code = code
        resolve(code)
      }
      let patience: NodeJS.Timeout | undefined
      this.#child.once('close', ended)
      this.#child.once('exit', (code) => {
        patience = setTimeout(() => {
          for (const output of [this.#child.stdout, this.#child.stderr]) output?.destroy()
          ended(code)
        }, OUTPUT_GRACE_MS)
      })
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get output(): string {
    return this.#outputFile === undefined ? this.#output : readFileSync(this.#outputFile, 'utf8')
  }

  get isRunning(): boolean {
    return this.#code === undefined
  }

  /** The exit code; null after a signal. */
  get exited(): Promise<number | null> {
    return this.#exited
  }

  /** Resolves when the output matches; throws with the output when the program ends before. */
  async says(pattern: RegExp): Promise<void> {
    await eventually(`${this.name} says ${pattern}`, () => pattern.test(this.#output) || !this.isRunning)
    if (!pattern.test(this.#output)) throw new Error(`${this.name} ended: ${this.#output.slice(-2_000)}`)
  }

  type(text: string): void {
    this.#child.stdin?.write(text)
  }

  endInput(): void {
    this.#child.stdin?.end()
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal)
  }

  /** SIGKILL to it and to all of its process group: what it started, as far as that made no group of its own. */
  kill(): void {
    if (this.isRunning && this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL')
  }

  /** SIGTERM, then SIGKILL when it does not end in time. Answers the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = 10_000): Promise<number | null> {
    if (!this.isRunning) return this.#exited
    this.#child.kill(signal)
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), withinMs)
    const code = await this.#exited
    clearTimeout(killer)
    return code
  }
}
