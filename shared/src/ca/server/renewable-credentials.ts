import type { SecureContextOptions } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'

/** A handshake that takes longer is ended. */
const HANDSHAKE_TIMEOUT_MS = 10_000

/** TLS credentials of a gRPC server whose certificate can be replaced while it runs; open connections keep theirs. */
export class RenewableCredentials extends ServerCredentials {
  constructor(context: SecureContextOptions) {
    super({ ...context, handshakeTimeout: HANDSHAKE_TIMEOUT_MS }, context)
  }

  replace(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context)
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this
  }
}
