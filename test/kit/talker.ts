import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'
import type { Pod } from './pod.ts'
import type { Program } from './program.ts'

const TALKER = fileURLToPath(new URL('programs/talker.ts', import.meta.url))

/** A program in a pod that opens, accepts, uses and ends TCP connections as it is told. The mesh's teardown stops it. */
export class Talker {
  readonly program: Program

  private constructor(program: Program) {
    this.program = program
  }

  static async start(pod: Pod): Promise<Talker> {
    const program = pod.start('talker', [process.execPath, TALKER])
    await program.says(/^ready$/m)
    return new Talker(program)
  }

  /** Accepts on a port; with `echo` it answers everything with the same and ends when the peer does. */
  async listen(port: number, { echo = false } = {}): Promise<void> {
    this.program.type(`${echo ? 'echo' : 'listen'} ${port}\n`)
    await this.program.says(new RegExp(`^listening ${port}$`, 'm'))
  }

  /** Starts to connect; `heard(name, /connected/)` or an error follows. */
  open(name: string, host: string, port: number): void {
    this.program.type(`open ${name} ${host} ${port}\n`)
  }

  /** One echo over a connection: the words came back. */
  async echoes(name: string, words: string): Promise<void> {
    this.say(name, words)
    await this.heard(name, new RegExp(`got .*${words}`))
  }

  say(name: string, words: string): void {
    this.program.type(`say ${name} ${words}\n`)
  }

  pour(name: string, bytes: number): void {
    this.program.type(`pour ${name} ${bytes}\n`)
  }

  /** Ends the own half. */
  end(name: string): void {
    this.program.type(`end ${name}\n`)
  }

  reset(name: string): void {
    this.program.type(`reset ${name}\n`)
  }

  /** What was told about a connection so far: `connected`, `got "…"`, `ended BYTES SHA256`, `error CODE`, `closed WHEN`. */
  events(name: string): readonly string[] {
    return this.program.output.split('\n').flatMap((line) => {
      return line.startsWith(`${name} `) ? [line.slice(name.length + 1)] : []
    })
  }

  /** Waits for an event of a connection; throws with all of its events. */
  async heard(name: string, pattern: RegExp): Promise<string> {
    try {
      return await eventually('', () => this.events(name).find((event) => pattern.test(event)))
    } catch {
      throw new Error(
        `${this.program.name}: no ${pattern} of ${name} but: ${this.events(name).join(', ') || 'nothing'}`,
      )
    }
  }

  /** Names of the connections that were accepted so far, on any port. */
  get acceptances(): readonly string[] {
    return [...this.program.output.matchAll(/^(\S+) accepted/gm)].map(([, name = '']) => name)
  }

  /** Waits until a connection to the port was accepted that is newer than those in `known`; answers its name. */
  accepted(port: number, known: readonly string[] = []): Promise<string> {
    return eventually(`${this.program.name} accepts on ${port}`, () => {
      return this.acceptances.find((name) => name.startsWith(`${port}/`) && !known.includes(name))
    })
  }
}
