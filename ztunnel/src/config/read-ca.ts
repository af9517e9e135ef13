import { existsSync } from 'node:fs'
import { isCaHeader } from '@ambit/shared/ca/client'
import type { ZtunnelConfig } from './config.ts'
import type { Environment } from './environment.ts'
import { problem, type Problem } from './problem.ts'

const DEFAULT_TOKEN_PATH = './var/run/secrets/tokens/istio-token'
const DEFAULT_ROOT_PATH = './var/run/secrets/istio/root-cert.pem'

/** Where certificates come from, and how that is asked. */
export function readCa(env: Environment): ZtunnelConfig['ca'] {
  const address = env.parsed('CA_ADDRESS', 'https://localhost:15012', 'the certificate authority', parseHttpsAddress)
  const token = env.optional('AUTH_TOKEN', 'path of the bearer token, or the token itself', DEFAULT_TOKEN_PATH)
  return {
    address,
    roots: env.text(
      'CA_ROOT_CA',
      DEFAULT_ROOT_PATH,
      'roots that the CA server is verified with: a path, SYSTEM, or PEM text',
    ),
    alternativeHostname: env.optional('ALT_CA_HOSTNAME', 'another name that the CA server may have') || undefined,
    token: readToken(env, token),
    headers: env.prefixed('CA_HEADER_', 'further gRPC metadata for the CA', {
      isGood: isCaHeader,
      wanted:
        'cannot be sent as gRPC metadata: a name has letters, digits and . - _ and does not end in -bin, a value is printable ASCII',
    }),
    // A request says how many seconds.
    secretTtlMs: env.durationMs('SECRET_TTL', '24h', 'lifetime asked for certificates', { min: '1s' }),
  }
}

function readToken(env: Environment, token: string | undefined): ZtunnelConfig['ca']['token'] {
  if (token) {
    // No token has a slash (RFC 7519, RFC 4648 §5), so it may be a path that leads nowhere.
    if (existsSync(token) || token.includes('/')) return readTokenPath(env, token)
    env.warn('AUTH_TOKEN is no file, its text is used as the token')
    return { value: token }
  }
  if (existsSync(DEFAULT_TOKEN_PATH)) return readTokenPath(env, DEFAULT_TOKEN_PATH)
  env.warn(`no token: AUTH_TOKEN is not set and ${DEFAULT_TOKEN_PATH} does not exist, so the CA is asked without one`)
  return undefined
}

function readTokenPath(env: Environment, path: string): ZtunnelConfig['ca']['token'] {
  env.checkFile('AUTH_TOKEN', path)
  return { path }
}

function parseHttpsAddress(text: string): string | Problem {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (!url || url.protocol !== 'https:' || !url.hostname) return problem('must be https://host:port')
  return url.port ? `https://${url.hostname}:${url.port}` : `https://${url.hostname}:443`
}
