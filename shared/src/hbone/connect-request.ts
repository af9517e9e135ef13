import type { HeaderField } from './hpack/index.ts'
import { isFieldName } from './field-rules.ts'
import { malformed, splitHeaders, type HeaderList, type Malformed } from './header-list.ts'

/** A well-formed request. Only CONNECT opens a tunnel; other methods are there to be answered in an orderly way. */
export interface ConnectRequest {
  readonly malformed: false
  readonly method: string
  /** Always there for CONNECT; not yet parsed. */
  readonly authority: string | undefined
  readonly fields: HeaderList
}

const PSEUDO: ReadonlySet<string> = new Set([':method', ':authority', ':scheme', ':path'])

/**
 * A decoded header list as a request, by RFC 9113 §8.3.1 and, for CONNECT, §8.5: `:method` and `:authority` only.
 * `:protocol` (RFC 8441) is unknown here since we never announce extended CONNECT. A `host` that contradicts
 * `:authority` is refused, so that nobody behind us can be told another target than the one that was authorised.
 */
export function parseConnectRequest(headers: readonly HeaderField[]): ConnectRequest | Malformed {
  const split = splitHeaders(headers, PSEUDO)
  if (split.malformed) return split
  const { pseudo, fields } = split
  const method = pseudo.get(':method')
  const authority = pseudo.get(':authority')
  if (method === undefined) return malformed(':method is missing')
  if (!isFieldName(method.toLowerCase())) return malformed(':method is no token')
  const fault = method === 'CONNECT' ? faultOfConnect(pseudo) : faultOfOther(pseudo)
  if (fault) return malformed(fault)
  const hosts = fields.all('host')
  if (hosts.length > 1) return malformed('host stands twice')
  if (authority !== undefined && hosts[0] !== undefined && hosts[0] !== authority) {
    return malformed('host and :authority differ')
  }
  return { malformed: false, method, authority, fields }
}

function faultOfConnect(pseudo: ReadonlyMap<string, string>): string | undefined {
  if (!pseudo.get(':authority')) return 'CONNECT has no :authority'
  if (pseudo.has(':scheme') || pseudo.has(':path')) return 'CONNECT has a :scheme or :path'
  return undefined
}

function faultOfOther(pseudo: ReadonlyMap<string, string>): string | undefined {
  if (!pseudo.get(':scheme') || !pseudo.get(':path')) return ':scheme or :path is missing'
  return undefined
}
