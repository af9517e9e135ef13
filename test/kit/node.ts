import { must } from './command.ts'
import type { Pod } from './pod.ts'
import { inside, nodeAddress, type NodePlace } from './topology.ts'
import type { ZtunnelProcess } from './ztunnel-process.ts'

/** A node of the test's mesh. */
export class TestNode {
  readonly name: string
  readonly place: NodePlace
  readonly pods: Pod[] = []
  /** The one that was started last; replaced ones are stopped by whoever replaces them. */
  ztunnel: ZtunnelProcess | undefined

  constructor(name: string, place: NodePlace) {
    this.name = name
    this.place = place
  }

  get v4(): string {
    return nodeAddress(this.place).v4
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
