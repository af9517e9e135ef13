import type { SecureContext } from 'node:tls'
import { secureContextFor, type WorkloadCertificate } from '@ambit/shared/certificates'
import type { SpiffeId } from '@ambit/shared/identity'
import { IdentityError } from './identity-error.ts'

/** A certificate ready for handshakes. */
export interface Credentials {
  readonly certificate: WorkloadCertificate
  readonly context: SecureContext
}

export interface IdentitiesOptions {
  /** Asks the control process for a certificate; the answer comes by `set` or `fail`. */
  readonly request: (identity: string) => void
  readonly postQuantumOnly: boolean
}

/** Connections that wait for one identity's certificate; more are refused at once. */
const MAX_WAITERS = 10_000

interface Waiter {
  resolve(credentials: Credentials): void
  reject(error: Error): void
}

/**
 * The worker's copy of the node's certificates. The control process owns them and pushes every change; a miss asks it
 * once and waits. At most one entry for each identity of a pod on the node.
 */
export class Identities {
  readonly #options: IdentitiesOptions
  readonly #current = new Map<string, Credentials>()
  readonly #waiting = new Map<string, Waiter[]>()

  constructor(options: IdentitiesOptions) {
    this.#options = options
  }

  /** The current certificate, also when expired (the peer decides). Throws IdentityError. */
  get(identity: SpiffeId): Credentials | Promise<Credentials> {
    const key = identity.toString()
    return this.#current.get(key) ?? this.#wait(key)
  }

  set(certificate: WorkloadCertificate): void {
    const key = certificate.identity.toString()
    const credentials = {
      certificate,
      context: secureContextFor(certificate, { postQuantumOnly: this.#options.postQuantumOnly }),
    }
    this.#current.set(key, credentials)
    for (const waiter of this.#take(key)) waiter.resolve(credentials)
  }

  /** The control process could not get it: those who wait fail, the next connection asks again. */
  fail(identity: string, reason: string): void {
    for (const waiter of this.#take(identity)) waiter.reject(new IdentityError(reason))
  }

  forget(identity: string): void {
    this.#current.delete(identity)
    this.fail(identity, 'the identity is no longer needed')
  }

  #wait(key: string): Promise<Credentials> {
    const waiting = this.#waiting.get(key) ?? []
    if (waiting.length >= MAX_WAITERS) throw new IdentityError('too many connections wait for the certificate')
    if (waiting.length === 0) {
      this.#waiting.set(key, waiting)
      this.#options.request(key)
    }
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject })
    })
  }

  #take(key: string): readonly Waiter[] {
    const waiting = this.#waiting.get(key) ?? []
    this.#waiting.delete(key)
    return waiting
  }
}
