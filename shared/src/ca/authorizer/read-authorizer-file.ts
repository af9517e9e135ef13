import { dirname, resolve } from 'node:path'
import { readRegularFile } from '../../config-file/index.ts'
import { messageOf, whyNotRead } from '../../errors/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { CaError } from '../ca-error.ts'
import { hashToken, type AuthorizerRules, type NodeRule, type WorkloadRule } from './authorizer-rules.ts'
import { YamlSource, type YamlNode } from './yaml-source.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_TOKEN_FILE_BYTES = 64 * 1024
const MAX_RULES = 10_000
const MAX_ACCOUNTS_PER_NODE = 4_096
/** What can be tried out is no secret. */
const MIN_TOKEN_LENGTH = 16
const MAX_TOKEN_LENGTH = 16 * 1024

/** What a read came to: the rules, or what is wrong with the file. */
export interface AuthorizerFile {
  readonly outcome: { readonly rules: AuthorizerRules } | { readonly error: CaError }
  /** The token files that it names, to be watched with it; also those that could not be read. */
  readonly tokenPaths: readonly string[]
}

/** Never rejects; an error is CaError 'bad-authorizer' that lists every problem with its line. */
export async function readAuthorizerFile(path: string): Promise<AuthorizerFile> {
  const tokenPaths: string[] = []
  try {
    const source = new YamlSource(path, await readText(path))
    const reader = new Reader(source, dirname(path), tokenPaths)
    await reader.read()
    source.finish()
    return { outcome: { rules: reader.rules }, tokenPaths }
  } catch (error) {
    const known = error instanceof CaError ? error : new CaError('bad-authorizer', messageOf(error), { cause: error })
    return { outcome: { error: known }, tokenPaths }
  }
}

class Reader {
  readonly rules = new Map<string, NodeRule | WorkloadRule>()
  readonly #source: YamlSource
  readonly #directory: string
  readonly #tokenPaths: string[]

  constructor(source: YamlSource, directory: string, tokenPaths: string[]) {
    this.#source = source
    this.#directory = directory
    this.#tokenPaths = tokenPaths
  }

  async read(): Promise<void> {
    const source = this.#source
    const top = source.map(source.root, 'the file', ['nodes', 'workloads'])
    for (const node of source.list(top?.get('nodes'), 'nodes', MAX_RULES)) await this.#readNode(node)
    for (const node of source.list(top?.get('workloads'), 'workloads', MAX_RULES)) await this.#readWorkload(node)
  }

  async #readNode(node: YamlNode): Promise<void> {
    const source = this.#source
    const entry = source.map(node, 'a node', ['name', 'token', 'tokenSha256', 'tokenFile', 'serviceAccounts'])
    if (entry === undefined) return
    const name = source.text(entry.get('name'), 'name')
    if (name === undefined) source.report(node, 'a node needs a name')
    const accounts = new Set<string>()
    for (const item of source.list(entry.get('serviceAccounts'), 'serviceAccounts', MAX_ACCOUNTS_PER_NODE)) {
      const account = this.#readAccount(item)
      if (account !== undefined) accounts.add(account.join('/'))
    }
    await this.#add(node, entry, { kind: 'node', name: name ?? '', serviceAccounts: accounts })
  }

  async #readWorkload(node: YamlNode): Promise<void> {
    const entry = this.#source.map(node, 'a workload', ['token', 'tokenSha256', 'tokenFile', 'serviceAccount'])
    if (entry === undefined) return
    const account = this.#readAccount(entry.get('serviceAccount') ?? node)
    if (account === undefined) return
    const [namespace, serviceAccount] = account
    await this.#add(node, entry, { kind: 'workload', namespace, serviceAccount })
  }

  #readAccount(node: YamlNode): [namespace: string, name: string] | undefined {
    const text = this.#source.text(node, 'a service account') ?? ''
    const [namespace, name, ...rest] = text.split('/')
    if (namespace && name && rest.length === 0 && isIdentityPart(namespace, name)) return [namespace, name]
    if (text !== '')
      this.#source.report(node, `${JSON.stringify(text.slice(0, 100))} is no service account; write namespace/name`)
    return undefined
  }

  async #add(node: YamlNode, entry: ReadonlyMap<string, YamlNode>, rule: NodeRule | WorkloadRule): Promise<void> {
    const hash = await this.#readTokenHash(node, entry)
    if (hash === undefined) return
    if (this.rules.has(hash)) this.#source.report(node, 'its token is also that of an entry before it')
    this.rules.set(hash, rule)
  }

  async #readTokenHash(node: YamlNode, entry: ReadonlyMap<string, YamlNode>): Promise<string | undefined> {
    const source = this.#source
    const [token, sha256, file] = ['token', 'tokenSha256', 'tokenFile'].map((key) => source.text(entry.get(key), key))
    if ([token, sha256, file].filter((given) => given !== undefined).length !== 1) {
      source.report(node, 'give exactly one of token, tokenSha256 and tokenFile')
      return undefined
    }
    if (sha256 !== undefined) {
      if (/^[0-9a-f]{64}$/iu.test(sha256)) return sha256.toLowerCase()
      source.report(entry.get('tokenSha256'), 'tokenSha256 must be 64 hexadecimal digits')
      return undefined
    }
    if (file !== undefined) return this.#readTokenFile(entry.get('tokenFile'), resolve(this.#directory, file))
    return this.#checkToken(entry.get('token'), token ?? '')
  }

  async #readTokenFile(node: YamlNode, path: string): Promise<string | undefined> {
    this.#tokenPaths.push(path)
    try {
      const text = (await readRegularFile(path, MAX_TOKEN_FILE_BYTES)).toString('utf8')
      return this.#checkToken(node, text.replace(/[\r\n]+$/u, ''))
    } catch (error) {
      this.#source.report(node, `the token file cannot be read: ${whyNotRead(error)}`)
      return undefined
    }
  }

  #checkToken(node: YamlNode, token: string): string | undefined {
    const isFit =
      token.length >= MIN_TOKEN_LENGTH && token.length <= MAX_TOKEN_LENGTH && /^[\u0021-\u007e]+$/u.test(token)
    if (isFit) return hashToken(token)
    this.#source.report(
      node,
      `a token must have ${MIN_TOKEN_LENGTH} to ${MAX_TOKEN_LENGTH} printable characters without spaces`,
    )
    return undefined
  }
}

function isIdentityPart(namespace: string, serviceAccount: string): boolean {
  try {
    SpiffeId.of('cluster.local', namespace, serviceAccount)
    return true
  } catch {
    return false
  }
}

async function readText(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_FILE_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError('bad-authorizer', `The authorizer file ${path} cannot be read: ${whyNotRead(cause)}`, { cause })
  }
}
