import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { secureContextFor, verifyClient } from '@ambit/shared/certificates'
import { FakeClock, type Clock } from '@ambit/shared/clock'
import {
  acceptHbone,
  DEFAULT_LIMITS,
  HeldMemory,
  Leftovers,
  type HboneLimits,
  type HboneServerConnection,
  type IncomingTunnel,
} from '@ambit/shared/hbone'
import { selectIo, type ByteIo, type TcpListener } from '@ambit/shared/io'
import { silentLog } from '@ambit/shared/log'
import { Applications, listenWith, loopbackServer, type Behaviour } from './applications.ts'
import { identities } from './identities.ts'
import { RawPeer } from './raw-peer.ts'

export interface VictimOptions {
  readonly limits?: Partial<HboneLimits>
  /** What it may hold for all peers together. */
  readonly maxHeldMemoryBytes?: number
  /** Default: a clock that stands still but for `pass`. */
  readonly clock?: Clock
}

/**
 * Our HBONE server with a real TLS identity. The authority of a request says what becomes of it: `echo:1`, `pump:1` and
 * `deaf:1` dial such an application, `busy:1` is answered 503, anything else is never answered.
 */
export class Victim {
  readonly io: ByteIo
  readonly clock: Clock
  readonly applications: Applications
  readonly leftovers: Leftovers
  readonly heldMemory: HeldMemory
  /** Those that still exist. */
  readonly connections = new Set<HboneServerConnection>()
  /** Requests that came through. */
  tunnels = 0
  /** Most that any one connection held in memory at a time, as sampled. */
  peakBufferedBytes = 0
  readonly #listener: TcpListener
  readonly #port: number
  readonly #limits: HboneLimits

  private constructor(io: ByteIo, options: VictimOptions, applications: Applications, server: ListeningServer) {
    this.io = io
    this.applications = applications
    this.clock = options.clock ?? new FakeClock()
    this.heldMemory = new HeldMemory(options.maxHeldMemoryBytes)
    this.leftovers = new Leftovers({ clock: this.clock })
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#port = (server.address() as AddressInfo).port // a TCP server that listens has one
    const context = secureContextFor(identities.server)
    const memory = this.heldMemory.share()
    this.#listener = listenWith(io, server, (end) => {
      const connection = acceptHbone(io, end, {
        tls: { context, verify: (chain) => verifyClient(chain, identities.server, Date.now()) },
        limits: this.#limits,
        leftovers: this.leftovers,
        memory,
        clock: this.clock,
        log: silentLog,
        onTunnel: (tunnel) => void this.#serve(tunnel),
      })
      this.connections.add(connection)
      void connection.closed.then(() => this.connections.delete(connection))
    })
  }

  static async start(options: VictimOptions = {}): Promise<Victim> {
    const io = await ioForAll
    return new Victim(io, options, await Applications.start(io), await loopbackServer())
  }

  get dials(): number {
    return this.applications.dials
  }

  /** Lets time pass for the victim; the event loop turns after each step, so that peers can answer. */
  async pass(ms: number, stepMs = 500): Promise<void> {
    if (!(this.clock instanceof FakeClock)) throw new Error('this victim has a real clock')
    for (let passed = 0; passed < ms; passed += stepMs) {
      await this.clock.advance(Math.min(stepMs, ms - passed))
      await new Promise((resolve) => {
        setTimeout(resolve, 2)
      })
    }
  }

  /** A TLS connection with the client's certificate. */
  async dialTls(): Promise<TLSSocket> {
    const { client } = identities
    const socket = connect({
      port: this.#port,
      host: '127.0.0.1',
      key: client.privateKeyPem,
      cert: client.chainPem.join(''),
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
    })
    await once(socket, 'secureConnect')
    return socket
  }

  get port(): number {
    return this.#port
  }

  async rawPeer(): Promise<RawPeer> {
    return new RawPeer(await this.dialTls(), 'client')
  }

  sample(): void {
    for (const { bufferedBytes } of this.connections) {
      this.peakBufferedBytes = Math.max(this.peakBufferedBytes, bufferedBytes)
    }
  }

  /** Accepts no more; what is open stays. */
  close(): void {
    this.#listener.close()
    this.applications.close()
  }

  async #serve(tunnel: IncomingTunnel): Promise<void> {
    this.tunnels++
    if (tunnel.method !== 'CONNECT') return tunnel.reject(405)
    const [name = ''] = tunnel.authority?.split(':') ?? []
    if (name === 'busy') return tunnel.reject(503)
    if (!isBehaviour(name)) return
    const end = await this.applications.dial(name)
    if (tunnel.aborted.aborted) end.destroy()
    else tunnel.accept([], end)
  }
}

type ListeningServer = Awaited<ReturnType<typeof loopbackServer>>

function isBehaviour(name: string): name is Behaviour {
  return name === 'echo' || name === 'pump' || name === 'deaf'
}

/** Once per process: the self-test of the byte path takes a while. */
const ioForAll = selectIo({ log: silentLog })
