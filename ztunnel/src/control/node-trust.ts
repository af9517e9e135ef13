import { createCaClient, type CaClient } from '@ambit/shared/ca/client'
import { CertificateManager, type CertificateState } from '@ambit/shared/certificates'
import type { Clock } from '@ambit/shared/clock'
import type { Readiness, ScopedLog } from '@ambit/shared/telemetry'
import { blamedOn, type ZtunnelConfig } from '../config/index.ts'
import type { SendToWorker } from '../messages.ts'
import { CrlFile } from './crl-file.ts'
import { KnownAuthorities } from './known-authorities.ts'
import { NodeCertificates } from './node-certificates.ts'

export interface NodeTrustOptions {
  readonly config: ZtunnelConfig
  /** Not while there is a CA of the node's whose certificates have to be refused. */
  readonly readiness: Pick<Readiness, 'begin' | 'done'>
  readonly clock: Clock
  readonly log: ScopedLog
  /** To all workers that run. */
  readonly broadcast: SendToWorker
}

/**
 * What the workers prove themselves and judge their peers with: the certificates of the node's identities, from the CA, and the
 * revocation lists, which the CAs of those certificates are to have signed.
 */
export class NodeTrust {
  readonly certificates: NodeCertificates
  readonly #ca: CaClient
  readonly #manager: CertificateManager
  readonly #crlFile: CrlFile | undefined

  constructor({ config, readiness, clock, log, broadcast }: NodeTrustOptions) {
    const { worker, crlPath } = config
    this.#ca = createCaClient({
      ...config.ca,
      compliance: worker.compliance,
      clusterId: worker.clusterId,
      impersonate: worker.mode === 'shared',
      clock,
      log: log.scope('identity'),
    })
    this.#manager = new CertificateManager({
      fetcher: this.#ca,
      clock,
      random: Math.random,
      log: log.scope('identity'),
    })
    this.certificates = new NodeCertificates(this.#manager, broadcast)
    const authorities = new KnownAuthorities(this.#manager)
    this.#crlFile =
      crlPath === undefined
        ? undefined
        : new CrlFile({
            path: crlPath,
            authorities: () => authorities.list(),
            readiness,
            clock,
            log: log.scope('crl'),
            broadcast,
          })
    this.#manager.onChange({ available: () => this.#crlFile?.authoritiesChanged(), lost: () => {} })
  }

  /** Resolves when the revocation lists are known. Throws ConfigError where there are some that cannot be read. */
  async start(): Promise<void> {
    await blamedOn('CRL_PATH', () => this.#crlFile?.start())
  }

  /** Every identity that has a certificate or waits for one, for /config_dump. */
  list(): readonly CertificateState[] {
    return this.#manager.list()
  }

  /** All of it, for a worker that starts: who is revoked before it can prove itself to anybody. */
  sendAll(send: SendToWorker): void {
    this.#crlFile?.sendTo(send)
    this.certificates.sendAll(send)
  }

  /** Follows no more changes of the revocation lists; certificates are renewed until `close`. */
  stop(): void {
    this.#crlFile?.stop()
  }

  close(): void {
    this.certificates.close()
    this.#ca.close()
  }
}
