import type { NetworkNamespace } from './network-namespace.ts'
import { nftGeneration } from './nft-generation.ts'
import { applyNft, digestOfTable } from './nftables.ts'

/** One table of ours in a namespace, and whether it is still as we made it. */
export class NftTable {
  readonly #namespace: NetworkNamespace
  readonly #name: string
  /** Of the table as the kernel lists it after we have made it. */
  #digest: string | undefined
  /** Of all rules of the namespace when the table was last seen intact. */
  #generation: number | undefined

  constructor(namespace: NetworkNamespace, name: string) {
    this.#namespace = namespace
    this.#name = name
  }

  /** Makes the table by a script that replaces what was there. Throws NftError. */
  async apply(script: string): Promise<void> {
    await applyNft(this.#namespace, script)
    const generation = nftGeneration(this.#namespace)
    this.#digest = await digestOfTable(this.#namespace, this.#name)
    this.#generation = generation
  }

  /** Changes or removes the table by a script, and looks after it no longer. Throws NftError. */
  async leave(script: string): Promise<void> {
    this.#digest = undefined
    this.#generation = undefined
    await applyNft(this.#namespace, script)
  }

  /** 30 µs where nobody has changed any rule of the namespace, else 10 ms. */
  async isIntact(): Promise<boolean> {
    const generation = nftGeneration(this.#namespace)
    if (generation === this.#generation) return true
    const isIntact = (await digestOfTable(this.#namespace, this.#name)) === this.#digest
    // A rule that changes while the table is listed changes the generation once more.
    if (isIntact) this.#generation = generation
    return isIntact
  }
}
