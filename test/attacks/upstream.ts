import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { secureContextFor, verifyServer } from '@ambit/shared/certificates'
import { FakeClock, type Clock } from '@ambit/shared/clock'
import {
  connectHbone,
  DEFAULT_LIMITS,
  HboneError,
  HbonePool,
  HeldMemory,
  Leftovers,
  type OutgoingTunnel,
} from '@ambit/shared/hbone'
import { selectIo, type ByteIo } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import { Applications } from './applications.ts'
import { identities } from './identities.ts'
import { RawPeer } from './raw-peer.ts'

/** A server in the hands of a test: every connection is a RawPeer that the test's script was given. */
export class Upstream {
  readonly peers = new Set<RawPeer>()
  /** Connections so far. */
  accepted = 0
  readonly #server: Server

  private constructor(script: (peer: RawPeer) => void) {
    const { server } = identities
    this.#server = createServer(
      {
        key: server.privateKeyPem,
        cert: server.chainPem.join(''),
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
      },
      (socket) => {
        const peer = new RawPeer(socket, 'server')
        this.accepted++
        this.peers.add(peer)
        void peer.closed.then(() => this.peers.delete(peer))
        script(peer)
      },
    )
    this.#server.on('tlsClientError', () => {})
  }

  static async start(script: (peer: RawPeer) => void): Promise<Upstream> {
    const upstream = new Upstream(script)
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // a TCP server that listens has one
  }

  close(): void {
    this.#server.close()
    for (const peer of this.peers) peer.destroy()
  }
}

/** Our pool with real connections. Keys are ports of this machine. */
export class PoolUser {
  readonly clock: Clock
  readonly pool: HbonePool
  readonly applications: Applications
  /** Most that any connection held in memory at a time. */
  peakBufferedBytes = 0

  private constructor(io: ByteIo, applications: Applications, clock: Clock) {
    this.applications = applications
    this.clock = clock
    const leftovers = new Leftovers({ clock })
    const memory = new HeldMemory().share()
    this.pool = new HbonePool({
      clock,
      connect: async (end, tls, signal) =>
        connectHbone(io, end, { tls, limits: DEFAULT_LIMITS, leftovers, memory, clock, log: silentLog, signal }),
    })
  }

  static async start(clock: Clock = new FakeClock()): Promise<PoolUser> {
    const io = await ioForAll
    return new PoolUser(io, await Applications.start(io), clock)
  }

  async open(port: number, authority = 'echo:1', signal?: AbortSignal): Promise<OutgoingTunnel> {
    const { client, server } = identities
    return this.pool.open({
      key: String(port),
      dial: async () => this.applications.dialPort(port),
      tls: async () => ({
        context: clientContext,
        verify: (chain) => verifyServer(chain, client, [server.identity], Date.now()),
      }),
      authority,
      headers: [['baggage', 'k8s.namespace.name=default']],
      ...(signal ? { signal } : {}),
    })
  }

  /** What becomes of a request: `opened` or the code of its error. */
  async outcome(port: number, signal?: AbortSignal): Promise<string> {
    try {
      ;(await this.open(port, 'echo:1', signal)).reset()
      return 'opened'
    } catch (error) {
      return error instanceof HboneError ? error.code : String(error)
    }
  }

  /** Lets time pass for the pool; the event loop turns after each step. */
  async pass(ms: number, stepMs = 100): Promise<void> {
    if (!(this.clock instanceof FakeClock)) throw new Error('this pool has a real clock')
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.clock.advance(stepMs)
      await new Promise((resolve) => {
        setTimeout(resolve, 2)
      })
    }
  }

  close(): void {
    this.pool.destroy()
    this.applications.close()
  }
}

const ioForAll = selectIo({ log: silentLog })
const clientContext = secureContextFor(identities.client)
