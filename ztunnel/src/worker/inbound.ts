import { verifyClient } from '@ambit/shared/certificates'
import { messageOf } from '@ambit/shared/errors'
import { acceptHbone, type IncomingTunnel } from '@ambit/shared/hbone'
import type { TcpEnd } from '@ambit/shared/io'
import { formatSocketAddress } from '@ambit/shared/ip'
import type { Workload } from '@ambit/shared/mesh'
import type { ConnectionInfo } from '@ambit/shared/telemetry'
import { parseAuthority, parseBaggage, parseForwardedHost, encodeProxyHeader } from '../connect-headers/index.ts'
import { resolveInbound, type InboundTarget } from '../routing/index.ts'
import { CarriedConnection } from './carried-connection.ts'
import { CertificateFailure } from './certificate-failure.ts'
import { ConnectionFailure } from './connection-failure.ts'
import { dialApplication } from './dial.ts'
import { PeerTls } from './peer-tls.ts'
import type { PodProxy } from './pod-proxy.ts'

/**
 * The life of a TCP connection to 15008: who are we, the handshake, then one tunnel for each CONNECT. Never rejects.
 * No SNI: the pod whose listener accepted decides which certificate is shown.
 */
export async function serveInboundConnection(proxy: PodProxy, end: TcpEnd): Promise<void> {
  const { io, identities, clock, crl, log, hboneLimits, leftovers, recorder, handshakes } = proxy.context
  const { remote, local } = end
  recorder.socketOpened('destination')
  try {
    const workload = await proxy.localWorkload()
    const { certificate, context } = await identities.get(proxy.identity(workload))
    const tls = new PeerTls({
      context,
      judge: (chain, nowMs, revoked) => verifyClient(chain, certificate, nowMs, revoked),
      now: () => clock.now(),
      crl,
      onRevoked: () => recorder.revoked('destination'),
    })
    const connection = acceptHbone(io, end, {
      tls,
      limits: hboneLimits,
      leftovers,
      memory: proxy.memory,
      clock,
      log,
      onTunnel: (tunnel) => void serveTunnel(proxy, tunnel),
    })
    proxy.track(connection, tls)
    await handshakes.done(connection)
    await connection.closed
  } catch (error) {
    end.destroy(true)
    // Without a certificate of ours TLS cannot even begin, which Istio calls a signing error here.
    const text = error instanceof CertificateFailure ? `signing error: ${error.reason}` : messageOf(error)
    recorder.denied({ direction: 'inbound', src: remote, dst: local, error: text })
  } finally {
    recorder.socketClosed('destination')
  }
}

/** Refused before it was known what for: an HTTP status for the peer and one early-deny line. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The life of one CONNECT: what is asked for, may it, reach the application, carry. Never rejects. */
async function serveTunnel(proxy: PodProxy, tunnel: IncomingTunnel): Promise<void> {
  const { recorder, config } = proxy.context
  const { remote: source, local: accepted, peer } = tunnel.connection
  try {
    // What is asked for.
    const found = proxy.localWorkload()
    const local = found instanceof Promise ? await found : found
    const target = whatFor(proxy, tunnel, local)
    const facts = { source, destination: target.upstream, identity: peer, network: config.network }
    const connection = new CarriedConnection(
      proxy.connections,
      recorder.opened(describe(proxy, tunnel, local, target)),
      {
        direction: 'inbound',
        summarise: () => ({
          src: formatSocketAddress(source),
          originalDst: target.forwardedHost ?? null,
          actualDst: formatSocketAddress(target.upstream),
          protocol: peer ? 'HBONE' : 'TCP',
        }),
        facts,
      },
    )
    const peerLeft = (): void =>
      connection.close(new ConnectionFailure('CONNECT', 'client disconnected before the tunnel was open'))
    tunnel.aborted.addEventListener('abort', peerLeft)
    try {
      // May it?
      proxy.authorize(local, facts)
      // Reach the application.
      const app = await dialApplication(proxy, target.dial, source, { overLoopback: true, signal: connection.signal })
      tunnel.aborted.removeEventListener('abort', peerLeft)
      // Carry.
      const headers: [string, string][] = config.responseBaggage ? [['baggage', proxy.baggage(local)]] : []
      const prelude =
        target.proxyTarget && encodeProxyHeader({ source, destination: target.proxyTarget, identity: peer })
      await connection.carry(tunnel.accept(headers, app, prelude ? { prelude } : {}))
      connection.end()
    } catch (error) {
      tunnel.aborted.removeEventListener('abort', peerLeft)
      // A policy that came while the application was dialled ends the dialling; the peer hears of the policy, not of that.
      const reason: unknown = connection.signal.aborted ? connection.signal.reason : error
      tunnel.reject(reason instanceof ConnectionFailure && reason.code === 'DENY' ? 401 : 503)
      connection.end(error)
    }
  } catch (error) {
    tunnel.reject(error instanceof Refusal ? error.status : 503)
    recorder.denied({ direction: 'inbound', src: source, dst: accepted, error: messageOf(error) })
  }
}

/** The application that a CONNECT names, by Istio's order of checks. Throws Refusal. */
function whatFor(proxy: PodProxy, tunnel: IncomingTunnel, local: Workload): InboundTarget {
  if (tunnel.method !== 'CONNECT') throw new Refusal(400, `expected method CONNECT, got ${tunnel.method}`)
  const authority = parseAuthority(tunnel.authority)
  if (!authority) throw new Refusal(400, `no valid authority pseudo header: ${tunnel.authority ?? ''}`)
  const { config, mesh } = proxy.context
  const target = resolveInbound(mesh, {
    local,
    connection: tunnel.connection.local,
    authority,
    network: config.network,
    forwardedHost: parseForwardedHost(tunnel.header('forwarded')),
    localhostAppTunnel: config.localhostAppTunnel,
  })
  if (target.kind === 'refuse') throw new Refusal(target.status, target.message)
  return target
}

function describe(proxy: PodProxy, tunnel: IncomingTunnel, local: Workload, target: InboundTarget): ConnectionInfo {
  const { config, mesh } = proxy.context
  const { remote, local: accepted, peer } = tunnel.connection
  // Istio trusts a header here, x-forwarded-network, to say that the peer is behind an east/west gateway and its address
  // the gateway's. Anybody can send it, and nothing tells a gateway: it passes its client's TLS on, and the mesh names
  // gateways of other networks only. Nor is traffic between networks carried, so an address is its owner's.
  const workload = mesh.workloadByAddress(config.network, remote.address)
  return {
    direction: 'inbound',
    src: {
      addr: remote,
      workload,
      // What the mesh knows overrides all that the peer claims.
      baggage: workload || !config.responseBaggage ? undefined : parseBaggage(tunnel.headers('baggage')),
      identity: peer,
    },
    dst: { addr: accepted, hboneAddr: tunnel.authority, workload: local, service: target.service },
    mutualTls: true,
  }
}
