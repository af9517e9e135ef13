import { isIP } from 'node:net'
import { parseDurationMs } from '../../clock/index.ts'
import { parseTrustDomain } from '../../identity/index.ts'
import type { SocketAddress } from '../../ip/index.ts'
import { LogLevels, type LogFormat } from '../../telemetry/index.ts'
import { GivenOptions, type Option } from './given-options.ts'

/** What options and variables say, all of it checked. */
export interface CaConfig {
  readonly listen: SocketAddress
  /** Where the signing certificate is: made by us, or imported. */
  readonly signing: { readonly stateDirectory: string } | { readonly importedDirectory: string }
  readonly trustDomain: string
  readonly authorizerPath: string
  readonly defaultTtlMs: number
  readonly maxTtlMs: number
  readonly rootTtlMs: number
  readonly servingNames: readonly string[]
  readonly rootOutputPath: string | undefined
  readonly crlOutputPath: string | undefined
  readonly logFormat: LogFormat
  readonly logLevels: string
}

/** Names that the serving certificate always has. */
const SERVING_NAMES = ['localhost', '127.0.0.1', '::1', 'istiod.istio-system.svc']

const OPTIONS = {
  listen: {
    variable: 'CA_LISTEN_ADDRESS',
    value: 'ADDRESS:PORT',
    fallback: '[::]:15012',
    meaning: 'where to listen; port 0 takes a free one',
  },
  'state-dir': {
    variable: 'CA_STATE_DIR',
    value: 'DIR',
    meaning: 'keep a root certificate of our own here, made on first start',
  },
  cacerts: {
    variable: 'ROOT_CA_DIR',
    value: 'DIR',
    meaning:
      'or sign with ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem from here, or tls.crt, tls.key, ca.crt; reloaded',
  },
  'trust-domain': {
    variable: 'TRUST_DOMAIN',
    value: 'NAME',
    fallback: 'cluster.local',
    meaning: 'the trust domain of every certificate',
  },
  authorizer: {
    variable: 'CA_AUTHORIZER_FILE',
    value: 'FILE',
    meaning: 'YAML: which token may have which identities; reloaded',
  },
  'default-ttl': {
    variable: 'DEFAULT_WORKLOAD_CERT_TTL',
    value: 'TIME',
    fallback: '24h',
    meaning: 'lifetime of a certificate when the request names none; by default no longer than --max-ttl',
  },
  'max-ttl': {
    variable: 'MAX_WORKLOAD_CERT_TTL',
    value: 'TIME',
    fallback: '2160h',
    meaning: 'longest lifetime that is granted',
  },
  'root-ttl': {
    variable: 'CITADEL_SELF_SIGNED_CA_CERT_TTL',
    value: 'TIME',
    fallback: '87600h',
    meaning: 'lifetime of a root certificate of our own',
  },
  'serving-names': {
    variable: 'ISTIOD_CUSTOM_HOST',
    value: 'NAMES',
    fallback: '',
    meaning: `further names and addresses of this server, with commas; always ${SERVING_NAMES.join(', ')}`,
  },
  'write-root': {
    variable: 'CA_WRITE_ROOT',
    value: 'FILE',
    meaning: 'write the root certificates here at start and when they change',
  },
  'write-crl': { variable: 'CA_WRITE_CRL', value: 'FILE', meaning: 'the same for the revocation lists of ca-crl.pem' },
  'log-format': {
    variable: 'LOG_FORMAT',
    value: 'FORMAT',
    fallback: 'plain',
    meaning: 'plain or json; the log goes to standard error',
  },
  'log-level': {
    variable: 'RUST_LOG',
    value: 'LEVEL',
    fallback: 'info',
    meaning: 'off, error, warn, info, debug or trace',
  },
} as const satisfies Record<string, Option>

type OptionName = keyof typeof OPTIONS

/** The text of `ca --help`. */
export function caUsage(): string {
  const lines = Object.entries<Option>(OPTIONS).map(([name, { variable, value, fallback, meaning }]) => {
    const shown = fallback ? ` [${fallback}]` : ''
    return `  --${`${name} ${value}`.padEnd(22)} ${variable.padEnd(32)} ${meaning}${shown}`
  })
  return `ca: Istio's certificate service for the proxies of a mesh, gRPC over TLS 1.3.

usage: ca --authorizer FILE (--state-dir DIR | --cacerts DIR) [options]

Each option may be given as a variable instead; the option wins. TIME is like 30m, 24h, 1h30m or a number of seconds.
${lines.join('\n')}
  --help                                                    this text

The authorizer file:
  nodes:                       # node proxies; each may have certificates for exactly its service accounts
    - name: node-a
      tokenFile: node-a.token  # relative to this file's directory; or token: or tokenSha256:
      serviceAccounts: [default/client, default/server]
  workloads:                   # proxies of one workload
    - serviceAccount: default/alone
      tokenFile: alone.token

Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot run, 2 when options or variables are wrong or name files
that cannot be used.
`
}

/** The configuration, or that the help is wanted. Throws CaError 'usage' that lists every problem. */
export function readCaOptions(
  words: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
): CaConfig | 'help' {
  const given = new GivenOptions(OPTIONS, words, variables)
  if (given.wantsHelp) return 'help'
  const config: CaConfig = {
    listen: given.read('listen', parseListen),
    signing: readSigning(given),
    trustDomain: given.read('trust-domain', parseTrustDomain),
    authorizerPath: given.required('authorizer', 'the file that says which token may have which identities'),
    ...readLifetimes(given),
    rootTtlMs: given.read('root-ttl', parseLifetimeMs),
    servingNames: [...new Set([...SERVING_NAMES, ...given.read('serving-names', parseNames)])],
    rootOutputPath: given.optional('write-root'),
    crlOutputPath: given.optional('write-crl'),
    logFormat: given.read('log-format', parseLogFormat),
    logLevels: given.read('log-level', parseLogLevels),
  }
  given.finish()
  return config
}

function readSigning(given: GivenOptions<OptionName>): CaConfig['signing'] {
  const stateDirectory = given.optional('state-dir')
  const importedDirectory = given.optional('cacerts')
  const both = '--state-dir (CA_STATE_DIR) and --cacerts (ROOT_CA_DIR)'
  if (stateDirectory === undefined && importedDirectory === undefined) given.report(`give one of ${both}`)
  if (stateDirectory !== undefined && importedDirectory !== undefined)
    given.report(`${both} are both given: the root is either our own or imported, give only one`)
  return importedDirectory === undefined ? { stateDirectory: stateDirectory ?? '' } : { importedDirectory }
}

/** Whoever says only how long a certificate may live has not asked for longer ones. */
function readLifetimes(given: GivenOptions<OptionName>): Pick<CaConfig, 'defaultTtlMs' | 'maxTtlMs'> {
  const maxTtlMs = given.read('max-ttl', parseLifetimeMs)
  const defaultTtlMs = given.read('default-ttl', parseLifetimeMs)
  const isComparable = given.isGiven('default-ttl') && !given.isRefused('default-ttl') && !given.isRefused('max-ttl')
  if (isComparable && defaultTtlMs > maxTtlMs) given.report('--default-ttl is longer than --max-ttl')
  return { maxTtlMs, defaultTtlMs: Math.min(defaultTtlMs, maxTtlMs) }
}

function parseListen(text: string): SocketAddress {
  const [, address = '', port = ''] = /^(.*):(\d{1,5})$/u.exec(text) ?? []
  const bare = address === '' ? '::' : address.replace(/^\[(.*)\]$/u, '$1')
  // [::1] and 127.0.0.1, not ::1 without its brackets.
  const isWritten = isIP(bare) === 4 || address === '' || address.startsWith('[')
  if (port !== '' && isIP(bare) !== 0 && isWritten && Number(port) <= 65_535)
    return { address: bare, port: Number(port) }
  throw new Error('write address:port, such as 127.0.0.1:15012 or [::]:15012')
}

function parseLifetimeMs(text: string): number {
  const lifetimeMs = parseDurationMs(text)
  if (lifetimeMs !== undefined && lifetimeMs >= 1_000) return lifetimeMs
  throw new Error('write a time of at least a second, like 30m, 24h or 1h30m')
}

function parseNames(text: string): string[] {
  const names = text.split(',').map((name) => name.trim())
  return names.filter((name) => {
    if (name === '' || isIP(name) !== 0 || (name.length <= 253 && /^(\*\.)?[\w-]+(\.[\w-]+)*$/u.test(name)))
      return name !== ''
    throw new Error(`${JSON.stringify(name)} is neither a DNS name nor an IP address`)
  })
}

function parseLogLevels(text: string): string {
  return new LogLevels(text).toString()
}

function parseLogFormat(text: string): LogFormat {
  if (text === 'plain' || text === 'json') return text
  throw new Error('write plain or json')
}
