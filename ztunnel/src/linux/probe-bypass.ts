import type { NetworkNamespace } from './network-namespace.ts'
import { NftTable } from './nft-table.ts'
import { NODE_TABLE, probeRules, removeProbeRules } from './probe-rules.ts'

/**
 * Lets connections of the node's own processes (kubelet probes) to captured pods past the proxy, by rules in the node's own
 * namespace. They stay when ztunnel ends, as the pods' rules do, and go with the last pod. Owns `node`.
 */
export class ProbeBypass {
  readonly #node: NetworkNamespace
  readonly #table: NftTable
  /** Of each captured pod. */
  readonly #addresses = new Map<string, readonly string[]>()
  #running: Promise<void> = Promise.resolve()
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

  /** Compares with what was installed and mends what someone changed. */
  async mend(): Promise<'intact' | 'mended'> {
    await this.#next
    if (this.#addresses.size === 0 || (await this.#table.isIntact())) return 'intact'
    await this.#apply()
    return 'mended'
  }

  close(): void {
    this.#node.close()
  }

  /** One script at a time; changes that come meanwhile go together into the next one. */
  #apply(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {}) // whoever asked for it was told
      .then(() => {
        this.#running = this.#next ?? Promise.resolve()
        this.#next = undefined
        const addresses = [...this.#addresses.values()].flat()
        return addresses.length === 0
          ? this.#table.remove(removeProbeRules())
          : this.#table.apply(probeRules(addresses))
      })
    return this.#next
  }
}
