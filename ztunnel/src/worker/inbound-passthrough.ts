import { messageOf } from '@ambit/shared/errors'
import type { TcpEnd } from '@ambit/shared/io'
import { familyOf, formatSocketAddress, isLinkLocal } from '@ambit/shared/ip'
import { originalDestination, zoneOf } from '../linux/index.ts'
import { isProxyPort } from '../proxy-ports.ts'
import { guessService } from '../routing/index.ts'
import { CarriedConnection } from './carried-connection.ts'
import { dialApplication } from './dial.ts'
import { refuseUnlessForwarded } from './refuse-unless-forwarded.ts'
import type { PodProxy } from './pod-proxy.ts'

/**
 * The life of a plaintext connection to one of the pod's ports, redirected to 15006: policy decides about a peer without
 * identity, then the application is dialled from the client's address. Never rejects.
 */
export async function serveInboundPassthrough(proxy: PodProxy, end: TcpEnd): Promise<void> {
  const { mesh, recorder, config, io } = proxy.context
  const source = end.remote
  let destination = end.local
  recorder.socketOpened('destination')
  try {
    // What is asked for, and who are we.
    destination = originalDestination(end.fd, familyOf(source.address) ?? 4)
    if (isProxyPort(destination.port)) throw new Error('attempted recursive call to ourselves')
    const local = await proxy.localWorkload()
    refuseUnlessForwarded(proxy, local, { source, destination })
    const facts = { source, destination, identity: undefined, network: config.network }
    const record = recorder.opened({
      direction: 'inbound',
      src: { addr: source, workload: mesh.workloadByAddress(config.network, source.address) },
      dst: {
        addr: destination,
        workload: local,
        service: guessService(mesh.servicesOf(local), mesh, local, destination.port),
      },
      mutualTls: false,
    })
    const connection = new CarriedConnection(proxy.connections, record, {
      direction: 'inbound',
      summarise: () => ({
        src: formatSocketAddress(source),
        originalDst: null,
        actualDst: formatSocketAddress(destination),
        protocol: 'TCP',
      }),
      facts,
    })
    try {
      // May it?
      proxy.authorize(local, facts)
      // Reach the application and carry.
      // Not always over lo: what a pod forwards for others (a router, docker in a pod) comes here too.
      const app = await dialApplication(proxy, destination, source, {
        zone: isLinkLocal(destination.address) ? zoneOf(end.fd) : undefined,
        signal: connection.signal,
      })
      await connection.carry(io.splice(end, app))
      connection.end()
    } catch (error) {
      end.destroy(true)
      connection.end(error)
    }
  } catch (error) {
    end.destroy(true)
    recorder.denied({ direction: 'inbound', src: source, dst: destination, error: messageOf(error) })
  } finally {
    recorder.socketClosed('destination')
  }
}
