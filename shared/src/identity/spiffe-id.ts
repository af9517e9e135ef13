import { IdentityError } from './identity-error.ts'
import { isPart, MAX_ID_LENGTH, shown } from './part.ts'

const PREFIX = 'spiffe://'

/**
 * `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`: who a workload is. An instance is always well-formed, so
 * nothing behind the parser checks it again. Compared exactly: case matters, nothing is a pattern.
 */
export class SpiffeId {
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly #text: string

  private constructor(trustDomain: string, namespace: string, serviceAccount: string, text: string) {
    this.trustDomain = trustDomain
    this.namespace = namespace
    this.serviceAccount = serviceAccount
    this.#text = text
  }

  /**
   * Accepts what Istio's ztunnel accepts: the prefix, then exactly five parts of which the second is "ns" and the fourth
   * "sa"; the other three may be empty. Stricter in the characters of those three (see PART) and in length (2048), so
   * that an identity reads the same in a certificate, a policy and a log line. Throws IdentityError.
   */
  static parse(text: string): SpiffeId {
    const id = SpiffeId.#read(text)
    if (id) return id
    throw new IdentityError(
      'bad-spiffe-id',
      `${shown(text)} is no SPIFFE id: write spiffe://<trust domain>/ns/<namespace>/sa/<service account>, each of the three of letters, digits and . - _ ~ :`,
    )
  }

  /** From its three parts, each without a slash. Throws IdentityError. */
  static of(trustDomain: string, namespace: string, serviceAccount: string): SpiffeId {
    const text = `${PREFIX}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`
    // A part has no slash, so this text reads back as these three parts.
    const isId = text.length <= MAX_ID_LENGTH && isPart(trustDomain) && isPart(namespace) && isPart(serviceAccount)
    return isId ? new SpiffeId(trustDomain, namespace, serviceAccount, text) : SpiffeId.parse(text)
  }

  static #read(text: string): SpiffeId | undefined {
    if (text.length > MAX_ID_LENGTH || !text.startsWith(PREFIX)) return undefined
    const parts = text.slice(PREFIX.length).split('/')
    if (parts.length !== 5 || !parts.every(isPart)) return undefined
    const [trustDomain = '', ns, namespace = '', sa, serviceAccount = ''] = parts
    if (ns !== 'ns' || sa !== 'sa') return undefined
    return new SpiffeId(trustDomain, namespace, serviceAccount, text)
  }

  toString(): string {
    return this.#text
  }

  toJSON(): string {
    return this.#text
  }

  equals(other: SpiffeId): boolean {
    return this.#text === other.#text
  }
}
