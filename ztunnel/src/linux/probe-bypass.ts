import { OneAtATime } from '../one-at-a-time.ts'
import type { NetworkNamespace } from './network-namespace.ts'
import { NftTable } from './nft-table.ts'
import { NODE_TABLE, probeRules } from './probe-rules.ts'

/**
 * Lets connections of the node's own processes (kubelet probes) to captured pods past the proxy, by rules in the node's own
 * namespace. They stay when ztunnel ends, as the pods' rules do, and go with the last pod. Owns `node`.
 */
export class ProbeBypass {
  readonly #node: NetworkNamespace
  readonly #table: NftTable
  /** Of each captured pod. */
  readonly #addresses = new Map<string, readonly string[]>()
  /** Whoever mends must not take half of a change for someone else's. */
  readonly #turns = new OneAtATime()
  /** The change that waits; what comes meanwhile goes along with it. */
  #next: Promise<void> | undefined

  constructor(node: NetworkNamespace) {
    this.#node = node
    this.#table = new NftTable(node, NODE_TABLE)
  }

  /** Resolves when the pod's addresses count. Throws NftError. */
  add(uid: string, addresses: readonly string[]): Promise<void> {
    this.#addresses.set(uid, addresses)
    return this.#apply()
  }

  remove(uid: string): Promise<void> {
    if (!this.#addresses.delete(uid)) return Promise.resolve()
    return this.#apply()
  }

  /** Compares with what was installed and mends what someone changed; waits for what is under way. */
  mend(): Promise<'intact' | 'mended'> {
    return this.#turns.run(async () => {
      // A change that waits makes all of it anew.
      if (this.#next || this.#addresses.size === 0 || (await this.#table.isIntact())) return 'intact'
      await this.#install()
      return 'mended'
    })
  }

  close(): void {
    this.#node.close()
  }

  #apply(): Promise<void> {
    this.#next ??= this.#turns.run(() => {
      this.#next = undefined
      return this.#install()
    })
    return this.#next
  }

  #install(): Promise<void> {
    const addresses = [...this.#addresses.values()].flat()
    return addresses.length === 0 ? this.#table.remove() : this.#table.replace(probeRules(addresses))
  }
}
