import { existsSync } from 'node:fs'
import { CrlSet } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import { WatchedFile } from '@ambit/shared/config-file'
import type { Log } from '@ambit/shared/log'
import type { ToWorker } from '../messages.ts'

export interface CrlFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  readonly broadcast: (message: ToWorker) => void
}

/**
 * The certificate revocation lists (CRL_PATH), followed as they change. A file that is not there yet revokes nothing; one
 * that cannot be read keeps ztunnel from starting, where Istio's goes on without revocations, and later leaves the last
 * good lists in force.
 */
export class CrlFile {
  readonly #options: CrlFileOptions
  readonly #file: WatchedFile
  #message: ToWorker | undefined

  constructor(options: CrlFileOptions) {
    this.#options = options
    const { path, clock, log } = options
    this.#file = new WatchedFile({ path, clock, log, load: (content) => this.#load(content), mayComeLater: true })
  }

  /** Rejects where there are lists that cannot be read. */
  start(): Promise<void> {
    return this.#file.start()
  }

  stop(): void {
    this.#file.stop()
  }

  /** Sends the lists to a worker that has just started. */
  sendTo(send: (message: ToWorker) => void): void {
    if (this.#message) send(this.#message)
  }

  #load(content: Buffer): void {
    const { path, broadcast, log } = this.#options
    const { lists, size } = CrlSet.load(content)
    this.#message = { type: 'crl', base64: content.toString('base64') }
    broadcast(this.#message)
    if (lists > 0) log.info(`revocation lists loaded, ${size} certificates are revoked`)
    else if (existsSync(path)) log.warn(`CRL_PATH=${path} holds no revocation list: nothing is revoked`)
    else log.warn(`CRL_PATH=${path} does not exist: nothing is revoked until it does`)
  }
}
