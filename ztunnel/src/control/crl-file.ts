import { existsSync } from 'node:fs'
import { CrlSet, standingOf, succeed, type ParsedCertificate } from '@ambit/shared/certificates'
import type { Clock, Timer } from '@ambit/shared/clock'
import { WatchedFile } from '@ambit/shared/config-file'
import { messageOf } from '@ambit/shared/errors'
import type { Log } from '@ambit/shared/log'
import type { Readiness } from '@ambit/shared/telemetry'
import type { SendToWorker, ToWorker } from '../messages.ts'

/** The certificates of a node come by the hundred when it starts; the lists are looked at once for all of them. */
const REVIEW_MS = 1_000
/** What is pending while there is a CA whose certificates are refused for want of a list that is good. */
const TASK = 'revocation lists'

export interface CrlFileOptions {
  readonly path: string
  /** The CAs whose signatures can be checked, as of now; none before the first certificate. */
  readonly authorities: () => readonly ParsedCertificate[]
  readonly readiness: Pick<Readiness, 'begin' | 'done'>
  readonly clock: Clock
  readonly log: Log
  readonly broadcast: SendToWorker
}

/**
 * The certificate revocation lists (CRL_PATH), followed as they change. A file that is not there yet revokes nothing; one
 * that cannot be read keeps ztunnel from starting, where Istio's goes on without revocations, and later leaves the last
 * good lists in force. So do, of a file that can be read, the lists of known CAs that are missing or not signed by them
 * (succeed), until the node's certificates bring a CA that makes them good, or take one away that misses its list. What is in
 * force at the start is checked when the first certificate comes: the certificates of a CA of which there is a damaged list
 * only are refused (CrlSet.isUndecided), and ztunnel is not ready while that is so.
 */
export class CrlFile {
  readonly #options: CrlFileOptions
  readonly #file: WatchedFile
  #inForce = CrlSet.load('')
  #isLoaded = false
  /** The file as it is, whatever of it is in force. */
  #read: CrlSet | undefined
  #reviewing: Timer | undefined
  /** What was said last of the lists in force, and of those of the file that are not. */
  #told = ''
  #toldFaults = ''

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
    this.#read = undefined
    const read = CrlSet.load(content)
    this.#read = read
    this.#toldFaults = ''
    this.#takeOver(read, true)
  }

  /** Throws where they must not. */
  #takeOver(read: CrlSet, isNew: boolean): void {
    const { path, authorities, broadcast, log } = this.#options
    const { crl, faults } = succeed(read, this.#inForce, authorities())
    if (isNew || !isSame(crl, this.#inForce)) {
      this.#inForce = crl
      this.#isLoaded = true
      this.#told = ''
      broadcast(messageOfLists(crl))
      if (crl.lists.length > 0) log.info(`revocation lists loaded, ${crl.size} certificates are revoked`)
      else if (existsSync(path)) log.warn(`CRL_PATH=${path} holds no revocation list: nothing is revoked`)
      else log.warn(`CRL_PATH=${path} does not exist: nothing is revoked until it does`)
    }
    this.#tellFaults(faults)
    this.#tellStrangers(authorities())
  }

  #review(): void {
    const { authorities, log } = this.#options
    if (this.#read) {
      try {
        this.#takeOver(this.#read, false)
        return
      } catch (error) {
        log.debug('revocation lists still not taken over', { error: messageOf(error) })
      }
    }
    this.#tellStrangers(authorities())
  }

  /** Those of one state of file and CAs, once. */
  #tellFaults(faults: readonly string[]): void {
    const why = faults.join('; ')
    if (why !== '' && why !== this.#toldFaults)
      this.#options.log.error('of some CAs the revocation lists that were in force stay', { why })
    this.#toldFaults = why
  }

  /** Lists in force that are of no use, or may be of none, each finding once. */
  #tellStrangers(authorities: readonly ParsedCertificate[]): void {
    if (authorities.length === 0) return
    const { log, readiness } = this.#options
    const { undecided, forged, unknown, isAnySigned } = standingOf(this.#inForce, authorities)
    const found = JSON.stringify([undecided, forged, unknown, isAnySigned])
    if (found === this.#told) return
    this.#told = found
    if (undecided.length > 0) {
      readiness.begin(TASK)
      log.error(
        'not ready, and all certificates of these CAs are refused: their revocation lists are damaged, or not theirs',
        { of: undecided.join('; ') },
      )
    } else readiness.done(TASK)
    if (forged.length > 0)
      log.error('revocation lists that their CA has not signed have no effect', { of: forged.join('; ') })
    if (unknown.length === 0) return
    const fields = { of: unknown.join('; ') }
    if (isAnySigned || undecided.length > 0) log.info('revocation lists of CAs that only peers may come with', fields)
    else log.warn('no revocation list is of a CA that the node knows: is it the right file?', fields)
  }
}

function isSame(one: CrlSet, other: CrlSet): boolean {
  return one.lists.length === other.lists.length && one.lists.every((list) => other.has(list))
}

function messageOfLists({ lists }: CrlSet): ToWorker {
  return { type: 'crl', lists: lists.map(({ der }) => der.toString('base64')) }
}
