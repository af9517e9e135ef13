import { MeshError, messageOf, type ErrorSource } from '@ambit/shared/errors'
import { HboneError } from '@ambit/shared/hbone'
import type { FailureFlag, Outcome } from '@ambit/shared/telemetry'

/** A connection that could not be carried on; the text goes to the access log, the flag to the metrics. */
export class ConnectionFailure extends MeshError<FailureFlag> {
  constructor(flag: FailureFlag, message: string, options: { source?: ErrorSource; cause?: unknown } = {}) {
    super(flag, message, { source: options.source ?? 'internal', cause: options.cause })
  }
}

/** How the access log and the metrics tell a failure; what nobody classified counts as CONNECT (as in Istio). */
export function failure(thrown: unknown): Outcome {
  if (thrown instanceof ConnectionFailure) return { flag: thrown.code, error: thrown.message }
  const isRevoked = thrown instanceof HboneError && thrown.code === 'revoked'
  return { flag: isRevoked ? 'CERT_REVOKED' : 'CONNECT', error: messageOf(thrown) }
}
