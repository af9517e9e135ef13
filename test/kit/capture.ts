import { readFileSync } from 'node:fs'
import { command } from './command.ts'
import { Program } from './program.ts'
import { inside } from './topology.ts'

/** What went over one interface, captured by tcpdump from start to `stop`. */
export class Capture {
  readonly #tcpdump: Program
  readonly #file: string

  private constructor(tcpdump: Program, file: string) {
    this.#tcpdump = tcpdump
    this.#file = file
  }

  /** Resolves when packets are being recorded. */
  static async start(namespace: string, interfaceName: string, file: string): Promise<Capture> {
    const words = ['tcpdump', '-i', interfaceName, '--immediate-mode', '-U', '-s', '0', '-Z', 'root', '-w', file, 'tcp']
    const tcpdump = new Program('tcpdump', [...inside(namespace), ...words])
    await tcpdump.says(/listening on/)
    return new Capture(tcpdump, file)
  }

  async stop(): Promise<void> {
    await this.#tcpdump.stop('SIGINT')
  }

  /** Packets that a tcpdump filter matches, such as `port 15008`. */
  async packets(filter: string): Promise<number> {
    const { stdout } = await command(['tcpdump', '-nr', this.#file, filter])
    return stdout.split('\n').filter((line) => line !== '').length
  }

  /** True where the text was on the wire in the clear. */
  contains(text: string): boolean {
    return readFileSync(this.#file).includes(text)
  }

  /** Some of the bytes around a text, printable characters only. */
  excerpt(text: string, length = 60): string {
    const bytes = readFileSync(this.#file)
    const at = bytes.indexOf(text)
    return at < 0
      ? ''
      : bytes
          .subarray(at, at + length)
          .toString('latin1')
          .replaceAll(/[^\x20-\x7e]/g, '.')
  }
}
