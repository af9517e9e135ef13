import { toWire, type CertificateManager } from '@ambit/shared/certificates'
import { messageOf } from '@ambit/shared/errors'
import { SpiffeId } from '@ambit/shared/identity'
import type { FromWorker, SendToWorker } from '../messages.ts'

/**
 * The certificates of the identities that live on this node, and no others: a key is fetched when the first pod of an
 * identity is captured and forgotten when the last one leaves. Every change goes to every worker.
 */
export class NodeCertificates {
  readonly #manager: CertificateManager
  readonly #broadcast: SendToWorker
  readonly #stopListening: () => void
  #wanted = new Map<string, SpiffeId>()

  constructor(manager: CertificateManager, broadcast: SendToWorker) {
    this.#manager = manager
    this.#broadcast = broadcast
    this.#stopListening = manager.onChange({
      available: (certificate) => broadcast({ type: 'certificate', certificate: toWire(certificate) }),
      lost: (identity, { message }) =>
        broadcast({ type: 'certificate-failed', identity: identity.toString(), reason: message }),
    })
  }

  /** The identities of the pods that are on the node now. */
  want(identities: Iterable<SpiffeId>): void {
    const wanted = new Map<string, SpiffeId>()
    for (const identity of identities) wanted.set(identity.toString(), identity)
    for (const [key, identity] of wanted) if (!this.#wanted.has(key)) this.#manager.prefetch(identity)
    for (const [key, identity] of this.#wanted) if (!wanted.has(key)) this.#forget(key, identity)
    this.#wanted = wanted
  }

  /** One identity more. */
  wantAlso(identity: SpiffeId): void {
    const key = identity.toString()
    if (this.#wanted.has(key)) return
    this.#wanted.set(key, identity)
    this.#manager.prefetch(identity)
  }

  /** A connection in a worker waits for a certificate. */
  async answer(request: Extract<FromWorker, { type: 'certificate-wanted' }>, reply: SendToWorker): Promise<void> {
    const identity = this.#wanted.get(request.identity)
    try {
      if (!identity) throw new Error(`no pod of ${request.identity} is on this node`)
      const certificate = await this.#manager.get(identity, 'realtime')
      reply({ type: 'certificate', certificate: toWire(certificate) })
    } catch (error) {
      reply({ type: 'certificate-failed', identity: request.identity, reason: messageOf(error) })
    }
  }

  /** Everything that is there, for a worker that starts. */
  sendAll(send: SendToWorker): void {
    for (const { certificate } of this.#manager.list()) {
      if (certificate) send({ type: 'certificate', certificate: toWire(certificate) })
    }
  }

  close(): void {
    this.#stopListening()
    this.#manager.close()
  }

  #forget(key: string, identity: SpiffeId): void {
    this.#manager.forget(identity)
    this.#broadcast({ type: 'certificate-forgotten', identity: key })
  }
}
