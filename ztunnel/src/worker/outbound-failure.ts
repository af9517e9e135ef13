import { HboneError } from '@ambit/shared/hbone'
import { IoError } from '@ambit/shared/io'
import { messageOf } from '@ambit/shared/errors'
import { ConnectionFailure } from './connection-failure.ts'

/** The access-log text and response flag of a tunnel that could not be opened (Istio's causes of each flag). */
export function failureOfTunnel(error: unknown): ConnectionFailure {
  if (error instanceof ConnectionFailure) return error
  if (!(error instanceof HboneError))
    return new ConnectionFailure('CONNECT', messageOf(error), { source: 'upstream', cause: error })
  const options = { source: 'upstream', cause: error } as const
  switch (error.code) {
    case 'dial-timeout':
      return new ConnectionFailure(
        'NETWORK_POLICY',
        `connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: ${error.message}`,
        options,
      )
    case 'h2':
    case 'handshake-timeout':
      return new ConnectionFailure('H2_HANDSHAKE_FAILURE', error.message, options)
    case 'revoked':
      return new ConnectionFailure('CERT_REVOKED', error.message, options)
    case 'identity':
      return new ConnectionFailure('IDENTITY_ERROR', error.message, options)
    case 'dial':
    case 'tls':
    case 'tls-verify':
    case 'status':
    case 'answer-timeout':
    case 'aborted':
    case 'overloaded':
      return new ConnectionFailure('CONNECT', error.message, options)
  }
}

/**
 * True where the endpoint itself could not be had before any byte was exchanged: it refused, was silent, its application was
 * away, or the tunnel connection was lost before it answered. A peer that is not who it should be is never passed over.
 */
export function mayTryAnother(error: unknown): boolean {
  if (error instanceof HboneError) {
    if (error.code === 'status') return error.status === 503
    return MEANS_AWAY.has(error.code)
  }
  return error instanceof IoError && error.code !== 'aborted'
}

/** True where a tunnel connection that had been made did not answer the request, for it ended or the peer broke off. */
export function wasLost(error: unknown): boolean {
  return error instanceof HboneError && error.code === 'h2'
}

const MEANS_AWAY: ReadonlySet<HboneError['code']> = new Set([
  'dial',
  'dial-timeout',
  'handshake-timeout',
  'answer-timeout',
  'h2',
])
