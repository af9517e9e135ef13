import { MeshError, type ErrorSource } from '../errors/index.ts'

/**
 * | code | meaning |
 * |---|---|
 * | bad-address | the CA's address is not https://host:port |
 * | bad-roots | the roots that the CA server is verified with cannot be read |
 * | bad-token | the bearer token cannot be read or sent |
 * | bad-header | further metadata that gRPC does not allow |
 * | signing | the CA refused, or could not be reached; `SigningError` has the gRPC status |
 * | bad-answer | the CA's answer is no IstioCertificateResponse |
 * | bad-authority | the CA's own certificate, key or roots cannot be used |
 * | permissions | the CA's key lies open to others, or its directory may not be written |
 * | bad-authorizer | the authorizer file cannot be used |
 * | listen | the CA cannot listen at its address |
 * | output | a file that the CA writes for others cannot be written |
 * | usage | the command line or a variable is wrong */
export type CaErrorCode =
  | 'bad-address'
  | 'bad-roots'
  | 'bad-token'
  | 'bad-header'
  | 'signing'
  | 'bad-answer'
  | 'bad-authority'
  | 'permissions'
  | 'bad-authorizer'
  | 'listen'
  | 'output'
  | 'usage'

interface CaErrorOptions {
  readonly source?: ErrorSource
  readonly retryable?: boolean
  readonly cause?: unknown
}

/** Whatever goes wrong between a proxy and its CA, or inside the CA. Source `config` where not said otherwise. */
export class CaError extends MeshError<CaErrorCode> {
  constructor(code: CaErrorCode, message: string, options: CaErrorOptions = {}) {
    super(code, message, { source: 'config', ...options })
  }
}

/** The CA's refusal in the words of ztunnel, which people search their logs for. */
export class SigningError extends CaError {
  /** Name of the gRPC status, such as `Unauthenticated`. */
  readonly status: string

  constructor(status: string, message: string, cause?: unknown) {
    super('signing', `signing gRPC error (${status}): ${message}`, { source: 'upstream', retryable: true, cause })
    this.status = status
  }
}
