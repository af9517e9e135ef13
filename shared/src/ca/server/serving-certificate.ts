import type { SecureContextOptions } from 'node:tls'
import { isIP } from 'node:net'
import { generateKeyPair, issueCertificate, parseX509 } from '../../certificates/index.ts'
import type { Clock, Timer } from '../../clock/index.ts'
import { messageOf } from '../../errors/index.ts'
import type { Log } from '../../log/index.ts'
import type { SigningSource } from '../authority/signing-material.ts'
import { CONTROL_PLANE_TLS } from '../tls-parameters.ts'

/** A failed renewal is tried again after this. */
const RETRY_MS = 60_000
/** Longest sleep: so long after a step of the wall clock ztunnels are shown what has expired, or is not valid yet. */
const MAX_SLEEP_MS = 30_000

export interface ServingCertificateOptions {
  /** DNS names and IP addresses that clients call the CA by; at least one. */
  readonly names: readonly string[]
  readonly ttlMs: number
  readonly source: SigningSource
  readonly clock: Clock
  readonly log: Log
  /** Called with each new certificate after the first, to be used from the next handshake on. */
  readonly onRenewed: (context: SecureContextOptions) => void
}

/**
 * The CA's own serving certificate, signed by itself: renewed at half of its life, where the wall clock is set back to before
 * its beginning, and at once when the signing certificate changes. While a renewal fails the old one stays. Owns a timer until `close`.
 */
export class ServingCertificate {
  readonly #options: ServingCertificateOptions
  readonly #stopListening: () => void
  #context: SecureContextOptions
  /** Unix time, as that of its renewal. */
  #validFromMs = 0
  #renewAtMs = 0
  #timer: Timer | undefined
  #isClosed = false

  /** Throws CertificateError when the signing material cannot sign now. */
  constructor(options: ServingCertificateOptions) {
    this.#options = options
    this.#context = this.#issue()
    this.#stopListening = options.source.onChange(() => this.#renew())
    this.#sleep()
  }

  /** What a TLS server needs now. */
  context(): SecureContextOptions {
    return this.#context
  }

  close(): void {
    this.#isClosed = true
    this.#stopListening()
    this.#timer?.cancel()
  }

  #issue(): SecureContextOptions {
    const { names, ttlMs, source, clock } = this.#options
    const { signer, intermediatesPem, notAfterMs } = source.current()
    const key = generateKeyPair()
    const nowMs = clock.now()
    const leaf = issueCertificate({
      signer,
      publicKeyDer: key.publicKeyDer,
      dnsNames: names.filter((name) => isIP(name) === 0),
      ipAddresses: names.filter((name) => isIP(name) !== 0),
      usages: ['serverAuth'],
      nowMs,
      ttlMs: Math.min(ttlMs, notAfterMs - nowMs),
    })
    const { validFromDate, validToDate } = parseX509(leaf)
    this.#validFromMs = validFromDate.getTime()
    this.#renewAtMs = nowMs + (validToDate.getTime() - nowMs) / 2
    return { ...CONTROL_PLANE_TLS, cert: [leaf, ...intermediatesPem].join(''), key: key.privateKeyPem }
  }

  #renew(): void {
    const { log, onRenewed } = this.#options
    try {
      this.#context = this.#issue()
      onRenewed(this.#context)
      log.info('the serving certificate was renewed')
    } catch (error) {
      log.error('the serving certificate could not be renewed, the old one stays', { error: messageOf(error) })
      this.#wait(RETRY_MS, () => this.#renew())
      return
    }
    this.#sleep()
  }

  #sleep(): void {
    const { clock } = this.#options
    const restMs = Math.max(this.#renewAtMs - clock.now(), 1_000)
    this.#wait(Math.min(restMs, MAX_SLEEP_MS), () => {
      if (clock.now() >= this.#renewAtMs || clock.now() < this.#validFromMs) this.#renew()
      else this.#sleep()
    })
  }

  #wait(delayMs: number, run: () => void): void {
    if (this.#isClosed) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(delayMs, run)
  }
}
