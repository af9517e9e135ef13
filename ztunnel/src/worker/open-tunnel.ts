import type { CancelSignal } from '@ambit/shared/cancellation'
import { verifyServer } from '@ambit/shared/certificates'
import type { OutgoingTunnel } from '@ambit/shared/hbone'
import { formatSocketAddress, type SocketAddress } from '@ambit/shared/ip'
import type { Workload } from '@ambit/shared/mesh'
import { encodeForwarded, newTraceparent } from '../connect-headers/index.ts'
import type { CarriableRoute } from '../routing/index.ts'
import { dialFromPod } from './dial.ts'
import { PeerTls } from './peer-tls.ts'
import type { PodProxy } from './pod-proxy.ts'

/** The connection for which a tunnel is opened. */
interface Client {
  /** The pod's own record, and the address that its connection came from. */
  readonly local: Workload
  readonly source: SocketAddress
  /** Gives up. */
  readonly signal: CancelSignal
}

/**
 * A stream of a pooled HBONE connection. The pool's key is Istio's: who we are, who may answer, where, and from where.
 * Rejects with HboneError, `identity` where our own certificate cannot be had.
 */
export function openTunnel(
  proxy: PodProxy,
  { local, source, signal }: Client,
  route: Extract<CarriableRoute, { kind: 'hbone' }>,
): Promise<OutgoingTunnel> {
  const { identities, clock, crl, recorder } = proxy.context
  const own = proxy.identity(local)
  return proxy.pool.open({
    key: `${own.toString()} ${route.identities.join(',')} ${formatSocketAddress(route.dial)} ${source.address}`,
    dial: (dialSignal) => dialFromPod(proxy, route.dial, { signal: dialSignal }),
    tls: async () => {
      const { certificate, context } = await identities.get(own)
      return new PeerTls({
        context,
        judge: (chain, nowMs, revoked) => verifyServer(chain, certificate, route.identities, nowMs, revoked),
        now: () => clock.now(),
        crl,
        onRevoked: () => recorder.revoked('source'),
      })
    },
    authority: route.authority,
    headers: [
      ['baggage', proxy.baggage(local)],
      ['forwarded', encodeForwarded(source, route.service?.hostname)],
      ['traceparent', newTraceparent()],
    ],
    signal,
  })
}
