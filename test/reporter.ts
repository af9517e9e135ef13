import { Transform, type TransformCallback } from 'node:stream'
import { Parser, type Result } from 'tap-parser'

/** Prints one line for each test file, every failure in full, and at the end the counts that people and CI read. */
export class Reporter extends Transform {
  readonly #parser = new Parser()
  readonly #skipsFail: boolean
  #passed = 0
  #failed = 0
  #skipped = 0

  /** With `skipsFail` a skipped test counts as failed: in CI everything must have run. */
  constructor({ skipsFail }: { readonly skipsFail: boolean }) {
    super()
    this.#skipsFail = skipsFail
    this.#parser.on('assert', (result: Result) => {
      this.push(`${result.ok ? 'ok    ' : 'not ok'} ${result.name} (${((result.time ?? 0) / 1_000).toFixed(1)} s)\n`)
    })
    this.#parser.on('result', (result: Result) => this.#count(result))
  }

  get failed(): number {
    return this.#failed
  }

  /** The closing line. */
  get summary(): string {
    return `${this.#passed} passed, ${this.#failed} failed${this.#skipped > 0 ? `, ${this.#skipped} skipped` : ''}`
  }

  /** Counts something that no test file reports, such as a step before the tests. */
  count(name: string, ok: boolean, detail = ''): void {
    if (ok) this.#passed++
    else this.#failed++
    this.push(`${ok ? 'ok    ' : 'not ok'} ${name}\n${ok ? '' : `${detail}\n`}`)
  }

  /** Counts a test file that cannot run here. */
  skip(name: string, reason: string): void {
    if (this.#skipsFail) this.#failed++
    else this.#skipped++
    this.push(`SKIPPED ${name}: ${reason}\n`)
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#parser.write(chunk)
    done()
  }

  override _flush(done: TransformCallback): void {
    this.#parser.end()
    done()
  }

  #count(result: Result): void {
    if (result.skip || result.todo) {
      this.skip(`${result.fullname} > ${result.name}`, String(result.skip || result.todo))
    } else if (result.ok) this.#passed++
    else {
      this.#failed++
      this.push(`FAILED ${result.fullname} > ${result.name}\n${JSON.stringify(result.diag, undefined, 2)}\n`)
    }
  }
}
