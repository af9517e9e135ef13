import type { Socket } from 'node:net'
import { connect, TLSSocket } from 'node:tls'
import { peerChainOf } from '../certificates/index.ts'
import { messageOf } from '../errors/index.ts'
import type { SecureOptions } from './byte-io.ts'
import { IoError } from './io-error.ts'
import { boundKeyUpdates } from './key-updates.ts'
import { tlsReason } from './tls-reason.ts'

/** Begins every message, as in Istio's access log. */
const FAILED = 'tls handshake error'
/** A half-open socket tells its end only. */
const LEFT = ['end', 'close'] as const

export interface Handshaken<Peer> {
  readonly socket: TLSSocket
  readonly peer: Peer
}

/**
 * The TLS handshake in either role over a connected socket, and the judgement of the peer's certificate. Chains are judged by
 * `options.verify` alone: names, trust domains and dates follow the mesh's rules, not the web's. No SNI is sent, no session
 * resumed. Rejects with IoError; then the socket is destroyed.
 */
export function handshake<Peer>(raw: Socket, options: SecureOptions<Peer>): Promise<Handshaken<Peer>> {
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted === true) {
      raw.destroy()
      reject(new IoError('aborted', `${FAILED}: aborted by the caller`))
      return
    }
    const socket = options.role === 'server' ? serverSocket(raw, options) : clientSocket(raw, options)
    const finish = (): void => {
      timer.cancel()
      options.signal?.removeEventListener('abort', onAbort)
      socket.removeListener('error', onError)
      for (const event of LEFT) socket.removeListener(event, onLeft)
    }
    const fail = (error: IoError): void => {
      finish()
      // Errors that follow the first one have nobody left to tell.
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    const onAbort = (): void => fail(new IoError('aborted', `${FAILED}: aborted by the caller`))
    const onError = (cause: Error): void => fail(new IoError('tls', `${FAILED}: ${tlsReason(cause)}`, { cause }))
    const onLeft = (): void => fail(new IoError('tls', `${FAILED}: the peer closed the connection`))
    const onSecure = (): void => {
      try {
        const peer = options.verify(peerChainOf(socket))
        finish()
        boundKeyUpdates(socket, options.clock)
        resolve({ socket, peer })
      } catch (cause) {
        fail(new IoError('tls-verify', `${FAILED}: the peer's certificate is refused: ${messageOf(cause)}`, { cause }))
      }
    }
    const timer = options.clock.after(options.handshakeTimeoutMs, () =>
      fail(new IoError('handshake-timeout', `${FAILED}: not done within ${options.handshakeTimeoutMs} ms`)),
    )
    options.signal?.addEventListener('abort', onAbort)
    socket.on('error', onError)
    for (const event of LEFT) socket.on(event, onLeft)
    socket.once(options.role === 'server' ? 'secure' : 'secureConnect', onSecure)
  })
}

function serverSocket(raw: Socket, { context, alpn }: SecureOptions<unknown>): TLSSocket {
  // A client without a certificate is refused by OpenSSL already (rejectUnauthorized); which certificate, `verify` decides.
  return new TLSSocket(raw, {
    isServer: true,
    secureContext: context,
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: [alpn],
  })
}

function clientSocket(raw: Socket, { context, alpn }: SecureOptions<unknown>): TLSSocket {
  // rejectUnauthorized and checkServerIdentity are the web's rules (DNS names); `verify` has the mesh's.
  return connect({
    socket: raw,
    secureContext: context,
    ALPNProtocols: [alpn],
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  })
}
