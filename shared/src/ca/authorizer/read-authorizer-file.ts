import { dirname, resolve } from 'node:path'
import { readRegularFile, YamlError, YamlValue } from '../../config-file/index.ts'
import { messageOf, whyNotRead } from '../../errors/index.ts'
import { SpiffeId } from '../../identity/index.ts'
import { CaError } from '../ca-error.ts'
import { hashToken, type AuthorizerRules, type NodeRule, type WorkloadRule } from './authorizer-rules.ts'

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

/** A rule as the file has it: whose token is in a file has no hash yet. */
interface Entry {
  readonly value: YamlValue
  readonly rule: NodeRule | WorkloadRule
  readonly token: { readonly hash: string } | { readonly file: YamlValue; readonly path: string }
}

/** Never rejects; an error is CaError 'bad-authorizer' that lists every problem with its line. */
export async function readAuthorizerFile(path: string): Promise<AuthorizerFile> {
  let tokenPaths: readonly string[] = []
  try {
    const text = await readText(path)
    const entries = YamlValue.read(text, (root) => readEntries(root, dirname(path)), { mayBeEmpty: false })
    tokenPaths = entries.flatMap(({ token }) => ('path' in token ? [token.path] : []))
    return { outcome: { rules: await rulesOf(entries) }, tokenPaths }
  } catch (error) {
    return { outcome: { error: asCaError(error, path) }, tokenPaths }
  }
}

function readEntries(root: YamlValue, directory: string): readonly Entry[] {
  const { nodes, workloads } = root.fields('nodes', 'workloads')
  return [
    ...listOf(nodes, MAX_RULES).map((node) => readNode(node, directory)),
    ...listOf(workloads, MAX_RULES).map((workload) => readWorkload(workload, directory)),
  ].filter((entry) => entry !== undefined)
}

function readNode(value: YamlValue, directory: string): Entry | undefined {
  const field = value.fields('name', 'token', 'tokenSha256', 'tokenFile', 'serviceAccounts')
  const name = field.name.text()
  if (name === '' && !field.name.isAbsent) field.name.problem('must not be empty')
  const accounts = listOf(field.serviceAccounts, MAX_ACCOUNTS_PER_NODE).map(readAccount)
  const serviceAccounts = new Set(accounts.map(([namespace, account]) => `${namespace}/${account}`))
  const token = readToken(value, field, directory)
  return token && { value, token, rule: { kind: 'node', name, serviceAccounts } }
}

function readWorkload(value: YamlValue, directory: string): Entry | undefined {
  const field = value.fields('token', 'tokenSha256', 'tokenFile', 'serviceAccount')
  const [namespace, serviceAccount] = readAccount(field.serviceAccount)
  const token = readToken(value, field, directory)
  return token && { value, token, rule: { kind: 'workload', namespace, serviceAccount } }
}

function listOf(value: YamlValue, limit: number): readonly YamlValue[] {
  const items = value.list()
  if (items.length <= limit) return items
  value.problem(`has more than ${limit} items`)
  return []
}

function readAccount(value: YamlValue): readonly [namespace: string, name: string] {
  const text = value.text()
  const [namespace = '', name = '', ...rest] = text.split('/')
  if (value.isAbsent || (rest.length === 0 && isIdentity(namespace, name))) return [namespace, name]
  value.problem(`${JSON.stringify(text.slice(0, 100))} is no service account; write namespace/name`)
  return ['', '']
}

function readToken(
  entry: YamlValue,
  field: Readonly<Record<'token' | 'tokenSha256' | 'tokenFile', YamlValue>>,
  directory: string,
): Entry['token'] | undefined {
  const { token, tokenSha256, tokenFile } = field
  const given = [token, tokenSha256, tokenFile].filter(({ isAbsent }) => !isAbsent)
  if (given.length !== 1) {
    entry.problem('give exactly one of token, tokenSha256 and tokenFile')
    return undefined
  }
  if (!tokenFile.isAbsent) return { file: tokenFile, path: resolve(directory, tokenFile.text()) }
  if (!token.isAbsent) return { hash: hashToken(token.parsed(fitToken)) }
  return { hash: tokenSha256.parsed(sha256).toLowerCase() }
}

function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/iu.test(text)) throw new Error('must be 64 hexadecimal digits')
  return text
}

/** Throws where `token` could be guessed, or could not be sent. */
function fitToken(token: string): string {
  const isFit =
    token.length >= MIN_TOKEN_LENGTH && token.length <= MAX_TOKEN_LENGTH && /^[\u0021-\u007e]+$/u.test(token)
  if (isFit) return token
  throw new Error(`a token must have ${MIN_TOKEN_LENGTH} to ${MAX_TOKEN_LENGTH} printable characters without spaces`)
}

/** Reads the tokens that are in files. Throws YamlError with every problem of them. */
async function rulesOf(entries: readonly Entry[]): Promise<AuthorizerRules> {
  const rules = new Map<string, NodeRule | WorkloadRule>()
  const problems: string[] = []
  for (const { value, rule, token } of entries) {
    try {
      const hash = 'hash' in token ? token.hash : hashToken(fitToken(await readTokenFile(token.path)))
      if (rules.has(hash)) problems.push(value.problemLater('its token is also that of an entry before it'))
      rules.set(hash, rule)
    } catch (error) {
      const place = 'file' in token ? token.file : value
      problems.push(place.problemLater(messageOf(error)))
    }
  }
  if (problems.length > 0) throw new YamlError(problems)
  return rules
}

async function readTokenFile(path: string): Promise<string> {
  try {
    const text = (await readRegularFile(path, MAX_TOKEN_FILE_BYTES)).toString('utf8')
    return text.replace(/[\r\n]+$/u, '')
  } catch (cause) {
    throw new Error(`the token file ${path} cannot be read: ${whyNotRead(cause)}`, { cause })
  }
}

function isIdentity(namespace: string, serviceAccount: string): boolean {
  try {
    SpiffeId.of('cluster.local', namespace, serviceAccount)
    return namespace !== '' && serviceAccount !== ''
  } catch {
    return false
  }
}

function asCaError(error: unknown, path: string): CaError {
  if (error instanceof CaError) return error
  const message = error instanceof YamlError ? `The authorizer file ${path} cannot be used: ` : ''
  return new CaError('bad-authorizer', `${message}${messageOf(error)}`, { cause: error })
}

async function readText(path: string): Promise<string> {
  try {
    return (await readRegularFile(path, MAX_FILE_BYTES)).toString('utf8')
  } catch (cause) {
    throw new CaError('bad-authorizer', `The authorizer file ${path} cannot be read: ${whyNotRead(cause)}`, { cause })
  }
}
