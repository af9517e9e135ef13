import type { SecureContext } from 'node:tls'
import { Waiters } from '@ambit/shared/cancellation'
import { secureContextFor, type CompliancePolicy, type WorkloadCertificate } from '@ambit/shared/certificates'
import type { SpiffeId } from '@ambit/shared/identity'
import { CertificateFailure } from './certificate-failure.ts'

/** A certificate ready for handshakes. */
export interface Credentials {
  readonly certificate: WorkloadCertificate
  readonly context: SecureContext
}

export interface IdentitiesOptions {
  /** Asks the control process for a certificate; the answer comes by `set` or `fail`. */
  readonly request: (identity: string) => void
  readonly compliance: CompliancePolicy
}

/** Connections that wait for one identity's certificate; more are refused at once. */
const MAX_WAITERS = 10_000

/**
 * The worker's copy of the node's certificates. The control process owns them and pushes every change; a miss asks it
 * once and waits. At most one entry for each identity of a pod on the node.
 */
export class Identities {
  readonly #options: IdentitiesOptions
  readonly #current = new Map<string, Credentials>()
  readonly #waiting = new Map<string, Waiters<Credentials>>()

  constructor(options: IdentitiesOptions) {
    this.#options = options
  }

  /** The current certificate, until it is known that there is none after it. Throws CertificateFailure. */
  get(identity: SpiffeId): Credentials | Promise<Credentials> {
    const key = identity.toString()
    return this.#current.get(key) ?? this.#wait(key)
  }

  set(certificate: WorkloadCertificate): void {
    const key = certificate.identity.toString()
    const credentials = {
      certificate,
      context: secureContextFor(certificate, this.#options.compliance),
    }
    this.#current.set(key, credentials)
    this.#take(key)?.resolve(credentials)
  }

  /** The control process has none (any more): those who wait fail, the next connection asks again. */
  fail(identity: string, reason: string): void {
    this.#current.delete(identity)
    this.#take(identity)?.reject(new CertificateFailure(reason))
  }

  forget(identity: string): void {
    this.fail(identity, 'the identity is no longer needed')
  }

  #wait(key: string): Promise<Credentials> {
    const waiting = this.#waiting.get(key) ?? new Waiters()
    if (waiting.size >= MAX_WAITERS) throw new CertificateFailure('too many connections wait for the certificate')
    if (waiting.size === 0) {
      this.#waiting.set(key, waiting)
      this.#options.request(key)
    }
    return waiting.wait()
  }

  #take(key: string): Waiters<Credentials> | undefined {
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    return waiting
  }
}
