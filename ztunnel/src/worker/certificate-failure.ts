import { ConnectionFailure } from './connection-failure.ts'

/** Our own certificate could not be had. Istio words it by direction: the message is that of an outbound connection. */
export class CertificateFailure extends ConnectionFailure {
  /** Without any prefix. */
  readonly reason: string

  constructor(reason: string) {
    super('IDENTITY_ERROR', `identity error: ${reason}`)
    this.reason = reason
  }
}
