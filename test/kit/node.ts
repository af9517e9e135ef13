import { must } from './command.ts'
import { Pod, type PodOptions } from './pod.ts'
import { Program } from './program.ts'
import { createPod, inside, nodeAddress, type NodePlace } from './topology.ts'
import type { ZtunnelProcess } from './ztunnel-process.ts'

/** Pods of a node have the addresses .10, .11, … */
const FIRST_POD = 10

/** What a node needs of its mesh. */
interface NodeHost {
  /** Those that the mesh's teardown stops. */
  readonly programs: Program[]
  /** Does what the teardown must wait for; rejects when that has begun. */
  build<T>(work: () => Promise<T>): Promise<T>
}

/** A node of the test's mesh. */
export class TestNode {
  readonly name: string
  readonly place: NodePlace
  readonly pods: Pod[] = []
  /** The one that was started last; replaced ones are stopped by whoever replaces them. */
  ztunnel: ZtunnelProcess | undefined
  readonly #host: NodeHost

  constructor(name: string, place: NodePlace, host: NodeHost) {
    this.name = name
    this.place = place
    this.#host = host
  }

  get v4(): string {
    return nodeAddress(this.place).v4
  }

  /** A new pod of this node. */
  async pod(name: string, options: PodOptions = {}): Promise<Pod> {
    const place = {
      namespace: `${this.place.namespace}-${name}`,
      node: this.place,
      index: FIRST_POD + this.pods.length,
    }
    const pod = new Pod(name, place, options, this.#host.programs)
    this.pods.push(pod)
    await this.#host.build(() => createPod(place))
    return pod
  }

  /** Starts a program on the node, outside of its pods; the mesh's teardown stops it. */
  start(name: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const program = new Program(name, [...inside(this.place.namespace), ...words], { env })
    this.#host.programs.push(program)
    return program
  }

  /** Runs a program in the node's namespace; throws where it fails. */
  must(words: readonly string[]): Promise<string> {
    return must([...inside(this.place.namespace), ...words])
  }

  /** The proxy of this node; throws where none was started. */
  get proxy(): ZtunnelProcess {
    if (!this.ztunnel) throw new Error(`no ztunnel runs on node ${this.name}`)
    return this.ztunnel
  }
}
