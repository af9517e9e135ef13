import { HboneError, type HboneServerConnection } from '@ambit/shared/hbone'

/** 68 KB each, which is what half a ClientHello makes OpenSSL and Node take. */
const MOST = 1_024

/**
 * TLS handshakes of a worker's pods with those who connect, who need no certificate to begin one. Where there are too many the
 * oldest is broken off: one that makes progress takes milliseconds, and is not the oldest for long.
 */
export class Handshakes {
  /** The oldest first. */
  readonly #underWay = new Set<HboneServerConnection>()

  /** Resolves when the client was accepted; rejects with HboneError. */
  async done(connection: HboneServerConnection): Promise<void> {
    this.#underWay.add(connection)
    const [oldest] = this.#underWay
    if (this.#underWay.size > MOST) {
      oldest?.destroy(
        new HboneError('overloaded', `more than ${MOST} TLS handshakes are under way: the oldest is broken off`),
      )
    }
    try {
      await connection.ready
    } finally {
      this.#underWay.delete(connection)
    }
  }
}
