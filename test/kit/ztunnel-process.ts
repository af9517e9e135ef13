import { readdirSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { must } from './command.ts'
import { eventually } from './eventually.ts'
import { Program, type ProgramOptions } from './program.ts'
import { inside } from './topology.ts'

/** The program that a node runs, for tests of how it ends by itself. */
export const ZTUNNEL_MAIN = fileURLToPath(new URL('../../ztunnel/src/main.mjs', import.meta.url))

/** One line of the access log, JSON format. */
export interface AccessLine {
  readonly level: string
  readonly message: string
  readonly [key: string]: unknown
}

/** Keys of an access line with the value, or a pattern of the value, that each must have. */
export type Wanted = Readonly<Record<string, string | number | RegExp>>

/** A running ztunnel on a node: the control process and its workers. */
export class ZtunnelProcess {
  readonly program: Program
  readonly #namespace: string

  constructor(name: string, namespace: string, options: ProgramOptions & { readonly under: readonly string[] }) {
    this.#namespace = namespace
    this.program = new Program(name, [...inside(namespace), ...options.under, ZTUNNEL_MAIN], options)
  }

  /** Resolves when the readiness port says so; throws with the output when the program ends before. */
  async ready(): Promise<void> {
    await eventually(`${this.program.name} is ready`, async () => {
      return !this.program.isRunning || (await this.isReady())
    })
    if (!this.program.isRunning) throw new Error(`${this.program.name} ended: ${this.program.output.slice(-4_000)}`)
  }

  async isReady(): Promise<boolean> {
    return (await this.get(15_021, '/healthz/ready')) === 'ready\n'
  }

  /** Body of a GET on one of its admin ports, from the node itself. */
  get(port: number, path: string, flags: readonly string[] = []): Promise<string> {
    return must([
      ...inside(this.#namespace),
      'curl',
      '-sS',
      '--noproxy',
      '*',
      '-m',
      '5',
      ...flags,
      `http://127.0.0.1:${port}${path}`,
    ])
  }

  /** Sum of the samples of a metric whose labels include all of those given. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    let sum = 0
    for (const line of (await this.get(15_020, '/metrics')).split('\n')) {
      const sample = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line)
      if (sample?.[1] !== name) continue
      const text = sample[2] ?? ''
      if (Object.entries(labels).every(([key, value]) => text.includes(`${key}="${value}"`))) sum += Number(sample[3])
    }
    return sum
  }

  /** Log lines so far that are JSON objects. */
  get lines(): readonly AccessLine[] {
    return this.program.output.split('\n').flatMap((line) => {
      if (!line.startsWith('{')) return []
      try {
        const value: unknown = JSON.parse(line)
        return isAccessLine(value) ? [value] : []
      } catch {
        return []
      }
    })
  }

  /** The first access line so far in which every key has the value, or matches the pattern. */
  logged(wanted: Wanted): AccessLine | undefined {
    return this.lines.find((line) => {
      return Object.entries(wanted).every(([key, value]) => {
        const found = line[key]
        return value instanceof RegExp ? typeof found === 'string' && value.test(found) : found === value
      })
    })
  }

  /** Waits for an access line that `logged` finds. */
  access(wanted: Wanted): Promise<AccessLine> {
    return eventually(
      `an access line with ${JSON.stringify(wanted, (_, value: unknown) => (value instanceof RegExp ? String(value) : value))}`,
      () => this.logged(wanted),
    )
  }

  /** Process ids of the data workers, oldest first. */
  async workers(): Promise<readonly number[]> {
    const children = await must(['ps', '-o', 'pid=,args=', '--ppid', String(this.program.pid), '--sort=start_time'])
    return children.split('\n').flatMap((line) => (line.includes('/worker/main') ? Number.parseInt(line, 10) : []))
  }

  /** What the control process and its workers hold open: how many of each kind, such as `socket` or a path. */
  async descriptors(): Promise<Readonly<Record<string, number>>> {
    const counts: Record<string, number> = {}
    for (const pid of [this.program.pid, ...(await this.workers())]) {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, '')
        counts[kind] = (counts[kind] ?? 0) + 1
      }
    }
    return counts
  }

  /** SIGTERM and the exit code. */
  stop(withinMs = 15_000): Promise<number | null> {
    return this.program.stop('SIGTERM', withinMs)
  }
}

function isAccessLine(value: unknown): value is AccessLine {
  return typeof value === 'object' && value !== null && 'message' in value && 'level' in value
}
