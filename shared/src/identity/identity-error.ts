import { MeshError } from '../errors/index.ts'

/** Which kind of text was none. */
export type IdentityErrorCode = 'bad-trust-domain' | 'bad-identity-part' | 'bad-spiffe-id'

/** A text that was given as an identity and is none. The message shows the text escaped and cut. */
export class IdentityError extends MeshError<IdentityErrorCode> {
  constructor(code: IdentityErrorCode, message: string) {
    super(code, message, { source: 'config' })
  }
}
