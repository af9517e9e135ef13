import { existsSync } from 'node:fs'
import { checkSuccession, CrlSet, standingOf, type ParsedCertificate } from '@ambit/shared/certificates'
import type { Clock, Timer } from '@ambit/shared/clock'
import { WatchedFile } from '@ambit/shared/config-file'
import { messageOf } from '@ambit/shared/errors'
import type { Log } from '@ambit/shared/log'
import type { SendToWorker, ToWorker } from '../messages.ts'

/** The certificates of a node come by the hundred when it starts; the lists are looked at once for all of them. */
const REVIEW_MS = 1_000

export interface CrlFileOptions {
  readonly path: string
  /** The CAs whose signatures can be checked, as of now; none before the first certificate. */
  readonly authorities: () => readonly ParsedCertificate[]
  readonly clock: Clock
  readonly log: Log
  readonly broadcast: SendToWorker
}

/** A file that was read, and its content, for the workers. */
interface Lists {
  readonly crl: CrlSet
  readonly content: Buffer
}

/**
 * The certificate revocation lists (CRL_PATH), followed as they change. A file that is not there yet revokes nothing; one
 * that cannot be read keeps ztunnel from starting, where Istio's goes on without revocations, and later leaves the last
 * good lists in force. So does one whose lists of known CAs are missing or not signed by them (checkSuccession), until the
 * node's certificates bring a CA that makes it good: that of a new root. What is in force at the start is checked when the first
 * certificate comes; a list that is not good then revokes nobody, and is an error in the log.
 */
export class CrlFile {
  readonly #options: CrlFileOptions
  readonly #file: WatchedFile
  #inForce: Lists = { crl: CrlSet.load(''), content: Buffer.alloc(0) }
  #isLoaded = false
  /** The file as it is, where it is not in force. */
  #refused: Lists | undefined
  #reviewing: Timer | undefined
  /** What was said last of the lists in force. */
  #told = ''

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
    this.#reviewing?.cancel()
  }

  /** Sends the lists to a worker that has just started. */
  sendTo(send: SendToWorker): void {
    if (this.#isLoaded) send(messageOfLists(this.#inForce))
  }

  /** Other CAs may be known from now on: their lists are looked at again soon. */
  authoritiesChanged(): void {
    this.#reviewing ??= this.#options.clock.after(REVIEW_MS, () => {
      this.#reviewing = undefined
      this.#review()
    })
  }

  #load(content: Buffer): void {
    this.#refused = undefined
    const lists = { crl: CrlSet.load(content), content }
    try {
      this.#takeOver(lists)
    } catch (error) {
      this.#refused = lists
      throw error
    }
  }

  /** Throws where they must not. */
  #takeOver(lists: Lists): void {
    const { path, authorities, broadcast, log } = this.#options
    const { crl } = lists
    checkSuccession(crl, this.#inForce.crl, authorities())
    this.#inForce = lists
    this.#isLoaded = true
    this.#refused = undefined
    this.#told = ''
    broadcast(messageOfLists(lists))
    if (crl.lists > 0) log.info(`revocation lists loaded, ${crl.size} certificates are revoked`)
    else if (existsSync(path)) log.warn(`CRL_PATH=${path} holds no revocation list: nothing is revoked`)
    else log.warn(`CRL_PATH=${path} does not exist: nothing is revoked until it does`)
    this.#tellStrangers(authorities())
  }

  #review(): void {
    const { authorities, log } = this.#options
    if (this.#refused) {
      try {
        this.#takeOver(this.#refused)
        return
      } catch (error) {
        log.debug('revocation lists still not taken over', { error: messageOf(error) })
      }
    }
    this.#tellStrangers(authorities())
  }

  /** Lists in force that are of no use, or may be of none, each finding once. */
  #tellStrangers(authorities: readonly ParsedCertificate[]): void {
    if (authorities.length === 0) return
    const { log } = this.#options
    const { forged, unknown, isAnySigned } = standingOf(this.#inForce.crl, authorities)
    const found = JSON.stringify([forged, unknown, isAnySigned])
    if (found === this.#told) return
    this.#told = found
    if (forged.length > 0)
      log.error('revocation lists that are not signed by their CA revoke nobody', { of: forged.join('; ') })
    if (unknown.length === 0) return
    const fields = { of: unknown.join('; ') }
    if (isAnySigned || forged.length > 0) log.info('revocation lists of CAs that only peers may come with', fields)
    else log.warn('no revocation list is of a CA that the node knows: is it the right file?', fields)
  }
}

function messageOfLists({ content }: Lists): ToWorker {
  return { type: 'crl', base64: content.toString('base64') }
}
