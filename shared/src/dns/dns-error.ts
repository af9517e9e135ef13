import { MeshError } from '../errors/index.ts'

/**
 * `not-found`: there is no such name. `no-addresses`: it has no address of a family that was asked for. `failed`: a name server
 * said so, or none can be reached. `timeout`: none answered in time. `overloaded`: too much is looked up already.
 */
export type DnsErrorCode = 'not-found' | 'no-addresses' | 'failed' | 'timeout' | 'overloaded'

/** A name that has no address for us now. The message says why, without the name. */
export class DnsError extends MeshError<DnsErrorCode> {
  constructor(code: DnsErrorCode, message: string, cause?: unknown) {
    super(code, message, { source: code === 'overloaded' ? 'internal' : 'upstream', retryable: true, cause })
  }
}
