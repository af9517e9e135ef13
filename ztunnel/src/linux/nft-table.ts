import type { NetworkNamespace } from './network-namespace.ts'
import { nftGeneration } from './nft-generation.ts'
import { applyNft, digestOfTable } from './nftables.ts'

/** One table of ours in a namespace, and whether it is still as we made it. */
export class NftTable {
  readonly #namespace: NetworkNamespace
  readonly #name: string
  /** Of the table as the kernel lists it after we have made it. */
  #digest: string | symbol | undefined
  /** Of all rules of the namespace when the table was last seen intact. */
  #generation: number | undefined

  constructor(namespace: NetworkNamespace, name: string) {
    this.#namespace = namespace
    this.#name = name
  }

  /**
   * Makes the table of the sets and chains that `body` declares, in the place of what was there: all of it or nothing.
   * Connections that are open live on. Throws NftError.
   */
  async replace(body: string): Promise<void> {
    await applyNft(this.#namespace, `${this.#removal()}table inet ${this.#name} {\n${body}}\n`)
    const generation = nftGeneration(this.#namespace)
    this.#digest = await digestOfTable(this.#namespace, this.#name)
    this.#generation = generation
  }

  /** Leaves these chains without a rule, as where the table is not there, and looks after it no longer. Throws NftError. */
  async empty(chains: readonly string[]): Promise<void> {
    const names = chains.map((name) => `chain inet ${this.#name} ${name}`)
    await this.#leave(
      `add table inet ${this.#name}\n${names.map((chain) => `add ${chain}\nflush ${chain}\n`).join('')}`,
    )
  }

  /** Nothing happens where it is not there. Throws NftError. */
  async remove(): Promise<void> {
    await this.#leave(this.#removal())
  }

  async #leave(script: string): Promise<void> {
    this.#digest = undefined
    this.#generation = undefined
    await applyNft(this.#namespace, script)
  }

  /** nft would refuse to delete a table that is not there. */
  #removal(): string {
    return `add table inet ${this.#name}\ndelete table inet ${this.#name}\n`
  }

  /** 30 µs where nobody has changed any rule of the namespace, else 10 ms; 2 s where somebody has put very much into it. */
  async isIntact(): Promise<boolean> {
    const generation = nftGeneration(this.#namespace)
    if (generation === this.#generation) return true
    const isIntact = (await digestOfTable(this.#namespace, this.#name)) === this.#digest
    // A rule that changes while the table is listed changes the generation once more.
    if (isIntact) this.#generation = generation
    return isIntact
  }
}
