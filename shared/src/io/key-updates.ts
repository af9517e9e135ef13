import type { TLSSocket } from 'node:tls'
import type { Clock } from '../clock/index.ts'

/** New secrets, two for an update that asks for one of ours. Peers that renew their keys do so after some 250 GB. */
const MOST = 64
const WINDOW_MS = 60_000

/**
 * Ends a connection whose peer renews its TLS keys over and over (RFC 8446 §4.6.3): OpenSSL does as it is told within the read,
 * 25 µs for 27 octets, and nothing comes out that the layer above could count. To be called after the handshake. What the event
 * carries is a secret, and is not looked at.
 */
export function boundKeyUpdates(socket: TLSSocket, clock: Clock): void {
  let count = 0
  let sinceMs = clock.monotonicMs()
  socket.on('keylog', () => {
    if (clock.monotonicMs() - sinceMs >= WINDOW_MS) {
      count = 0
      sinceMs = clock.monotonicMs()
    }
    if (++count !== MOST) return
    // Not destroyed from within OpenSSL's read; but of the rest, which may be some 2 MB, no more is read.
    const handle: unknown = Reflect.get(socket, '_handle')
    if (typeof handle === 'object' && handle !== null && 'readStop' in handle && typeof handle.readStop === 'function')
      handle.readStop()
    setImmediate(() => socket.destroy(new Error('the peer renews its TLS keys over and over')))
  })
}
