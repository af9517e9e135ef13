import type { Rule } from '../mesh/index.ts'
import type { CompiledRule } from './compiled-rule.ts'

/** One rule, however many policies have it: copies of it are looked at once for a connection. */
export interface SharedRule {
  readonly rule: Rule
  readonly hash: number
  /** Keys of the policies that have it, each once. */
  readonly owners: string[]
  /** Its number in the index; undefined for one that can never hold. */
  id: number | undefined
  /** Made when the rule is first looked at: most rules of a large set never are. */
  compiled: CompiledRule | undefined
}

/**
 * Finds equal rules by a hash of their text, then by the text. The texts are not kept: 100,000 of them would be 40 MB.
 * Holds the rules that have an owner, no others.
 */
export class RuleInterning {
  readonly #byHash = new Map<number, SharedRule[]>()

  /** Hashes of the rules in it. */
  get size(): number {
    return this.#byHash.size
  }

  /** The one of its kind; new, without an owner, where there was none. The caller gives it an owner. */
  intern(rule: Rule): SharedRule {
    const text = JSON.stringify(rule)
    const hash = hashOf(text)
    const candidates = this.#byHash.get(hash)
    const found = candidates?.find((candidate) => JSON.stringify(candidate.rule) === text)
    if (found) return found
    const shared = { rule, hash, owners: [], id: undefined, compiled: undefined }
    if (candidates) candidates.push(shared)
    else this.#byHash.set(hash, [shared])
    return shared
  }

  /** For a rule that lost its last owner. */
  forget({ hash, rule }: SharedRule): void {
    const candidates = this.#byHash.get(hash)?.filter((candidate) => candidate.rule !== rule) ?? []
    if (candidates.length > 0) this.#byHash.set(hash, candidates)
    else this.#byHash.delete(hash)
  }
}

/** FNV-1a, 32 bits. Whether two rules are equal is decided by their text; a collision costs a comparison. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}
