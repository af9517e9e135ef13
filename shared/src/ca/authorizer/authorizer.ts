import { MeshError } from '../../errors/index.ts'
import type { SpiffeId } from '../../identity/index.ts'

/** What a caller of the CA shows. All of it is the caller's word until the authorizer has looked. */
export interface Caller {
  /** The bearer token, without its scheme; never empty. */
  readonly token: string
  /** Metadata `clusterid`; empty when not sent. */
  readonly clusterId: string
  /** metadata.ImpersonatedIdentity: whose certificate a node proxy wants. Already in our trust domain. */
  readonly impersonated?: SpiffeId
}

/** What a caller shows before anything of its request is read. */
export type ShownToken = Pick<Caller, 'token' | 'clusterId'>

/** Decides which identity a caller gets a certificate for. */
export interface CaAuthorizer {
  /**
   * Whether the token is anybody's: asked before anything of a request is read, so that strangers cannot make us hold it. Rejects
   * with AuthorizationError 'unauthenticated'; any other rejection is treated as a refusal too.
   */
  authenticate(shown: ShownToken): Promise<void>
  /**
   * The identity to certify: the impersonated one where the caller may impersonate it, else the caller's own. Rejects with
   * AuthorizationError; any other rejection is treated as a refusal too.
   */
  authorize(caller: Caller): Promise<SpiffeId>
}

/** `unauthenticated`: the token is nobody's. `impersonation-refused`: its owner may not have that identity. */
export type AuthorizationErrorCode = 'unauthenticated' | 'impersonation-refused'

/**
 * A refusal. The caller is told no more than the code; the message is for our log, and names why. Never holds the token.
 */
export class AuthorizationError extends MeshError<AuthorizationErrorCode> {
  constructor(code: AuthorizationErrorCode, message: string) {
    super(code, message, { source: 'downstream' })
  }
}
