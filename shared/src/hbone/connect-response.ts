import type { HeaderField } from './hpack/index.ts'
import { malformed, splitHeaders, type Malformed } from './header-list.ts'

export interface ConnectResponse {
  readonly malformed: false
  /** 100 to 599. Below 200 it is interim: another response follows on the stream. */
  readonly status: number
}

const PSEUDO: ReadonlySet<string> = new Set([':status'])

/** A decoded header list as the response to our CONNECT (RFC 9113 §8.3.2). 101 does not exist in HTTP/2 (§8.6). */
export function parseConnectResponse(headers: readonly HeaderField[]): ConnectResponse | Malformed {
  const split = splitHeaders(headers, PSEUDO)
  if (split.malformed) return split
  const status = split.pseudo.get(':status')
  if (status === undefined) return malformed(':status is missing')
  if (!/^[1-5][0-9][0-9]$/.test(status) || status === '101') return malformed(':status is none')
  return { malformed: false, status: Number(status) }
}
