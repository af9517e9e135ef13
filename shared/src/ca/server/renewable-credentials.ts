import type { SecureServerOptions, Settings } from 'node:http2'
import type { SecureContextOptions } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'

/** A handshake that takes longer is ended. */
const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * TLS credentials of a gRPC server whose certificate can be replaced while it runs; open connections keep theirs. gRPC makes its
 * HTTP/2 server with them, and has no option for most of the settings that it tells its clients: all of them come from here.
 */
export class RenewableCredentials extends ServerCredentials {
  constructor(context: SecureContextOptions, settings: Settings) {
    const options: SecureServerOptions = { ...context, handshakeTimeout: HANDSHAKE_TIMEOUT_MS, settings }
    super(options, context)
  }

  replace(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context)
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this
  }
}
