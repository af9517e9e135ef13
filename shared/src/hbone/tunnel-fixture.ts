// Both ends of an HBONE connection in one process, for this room's tests: loopback only, certificates made here.
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { authority, CLIENT, SERVER, workload } from '../certificates/certificate-fixture.ts'
import { secureContextFor, verifyClient, verifyServer } from '../certificates/index.ts'
import { FakeClock } from '../clock/index.ts'
import type { ByteIo, Splice } from '../io/index.ts'
import { accepted, dial, eventually, listen } from '../io/io-fixture.ts'
import { silentLog } from '../log/index.ts'
import { acceptHbone, type HboneServerConnection } from './accept-hbone.ts'
import type { HboneClientConnection } from './client-connection.ts'
import { connectHbone } from './connect-hbone.ts'
import type { IncomingTunnel } from './incoming-tunnel.ts'
import { HeldMemory } from './held-memory.ts'
import { Leftovers } from './leftovers.ts'
import { DEFAULT_LIMITS, type HboneLimits } from './limits.ts'

const NOW = Date.now()
const ca = authority('root', { nowMs: NOW })
const certificates = { client: workload(ca, CLIENT, { nowMs: NOW }), server: workload(ca, SERVER, { nowMs: NOW }) }
const contexts = {
  client: secureContextFor(certificates.client),
  server: secureContextFor(certificates.server),
}

const serverTls = {
  context: contexts.server,
  verify: (chain: Parameters<typeof verifyClient>[0]) => verifyClient(chain, certificates.server, NOW),
}
const clientTls = {
  context: contexts.client,
  verify: (chain: Parameters<typeof verifyServer>[0]) => verifyServer(chain, certificates.client, [SERVER], NOW),
}

export interface ConnectionPair {
  readonly client: HboneClientConnection
  readonly server: HboneServerConnection
  readonly clock: FakeClock
  readonly heldMemory: HeldMemory
  /** The next CONNECT, in order. */
  readonly nextTunnel: () => Promise<IncomingTunnel>
}

/** A client and a server connected to each other, with nothing under way. `limits` differ from the defaults for both. */
export async function connectionPair(io: ByteIo, limits: Partial<HboneLimits> = {}): Promise<ConnectionPair> {
  const clock = new FakeClock()
  const leftovers = new Leftovers({ clock })
  const heldMemory = new HeldMemory()
  const memory = heldMemory.share()
  const common = { limits: { ...DEFAULT_LIMITS, ...limits }, leftovers, memory, clock, log: silentLog }
  const { listener, port, next } = listen(io)
  const [near, far] = await Promise.all([dial(io, port), next()])
  listener.close()
  const tunnels = queueOf<IncomingTunnel>()
  const server = acceptHbone(io, far, { ...common, tls: serverTls, onTunnel: tunnels.put })
  const client = await connectHbone(io, near, { ...common, tls: clientTls })
  await server.ready
  await eventually(() => clock.pendingTimers === 2, 'both have their SETTINGS acknowledged')
  return { client, server, clock, heldMemory, nextTunnel: tunnels.take }
}

export interface Tunnel {
  /** The outside programs at the two far ends. */
  readonly near: Socket
  readonly far: Socket
  readonly nearSplice: Splice
  readonly farSplice: Splice
}

/** One tunnel through a connection pair, with an outside program at each end. */
export async function openTunnel(io: ByteIo, pair: ConnectionPair, prelude?: Buffer): Promise<Tunnel> {
  const incoming = pair.nextTunnel()
  const opening = pair.client.open({ authority: '10.0.0.1:80', headers: [] })
  const [nearApp, farApp, tunnel] = await Promise.all([accepted(io), accepted(io), incoming])
  const farSplice = tunnel.accept([], farApp.end, prelude === undefined ? {} : { prelude })
  const nearSplice = (await opening).splice(nearApp.end)
  return { near: nearApp.socket, far: farApp.socket, nearSplice, farSplice }
}

/** Both ends say something, hear it, and end. */
export async function exchange(t: Test, near: Socket, far: Socket): Promise<void> {
  near.end('ping')
  far.end('pong')
  const heard = await Promise.all(
    [near, far].map(async (socket) => String(Buffer.concat(await Array.fromAsync(socket)))),
  )
  t.same(heard, ['pong', 'ping'])
}

/** Time passes until both ends ask whether the other is there, and real time until both know it. */
export async function pingsAnswered({ clock }: ConnectionPair): Promise<void> {
  const { pingIntervalMs } = DEFAULT_LIMITS
  await clock.advance(pingIntervalMs)
  await eventually(() => clock.pendingWithin(pingIntervalMs) >= 2, 'both have their PING answered')
}

/** Nothing may be left of a connection: neither end, no timer, no memory on loan. */
export async function endOf(t: Test, io: ByteIo, { client, server, clock, heldMemory }: ConnectionPair): Promise<void> {
  client.drain()
  await Promise.all([client.closed, server.closed])
  t.equal(clock.pendingTimers, 0)
  t.same([heldMemory.bytes, heldMemory.shares], [0, 0])
  await eventually(() => io.slabs.lent + io.readSlabs.lent === 0, 'all memory is given back')
}

/** Values in the order of arrival, for tests that wait for them. */
function queueOf<T>(): { put: (value: T) => void; take: () => Promise<T> } {
  const values: T[] = []
  const waiting: ((value: T) => void)[] = []
  return {
    put: (value) => {
      const wanted = waiting.shift()
      if (wanted === undefined) values.push(value)
      else wanted(value)
    },
    take: () => {
      const value = values.shift()
      return value === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(value)
    },
  }
}
