import { createSecureContext } from 'node:tls'
import t, { type Test } from 'tap'
import type { CancelSignal } from '../cancellation/index.ts'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import type { TcpEnd } from '../io/byte-io.ts'
import type { HboneClientConnection, OutgoingTunnel, TunnelRequest } from './client-connection.ts'
import { HboneError, type HboneErrorCode } from './hbone-error.ts'
import { HbonePool, type PoolRequest, type PoolSettings } from './hbone-pool.ts'

const peer = SpiffeId.of('cluster.local', 'default', 'server')
export const tls = { context: createSecureContext(), verify: () => peer }

/** A peer in memory: what it does with a request is the test's choice. */
export class FakeConnection implements HboneClientConnection {
  usable = true
  activeStreams = 0
  maxStreams = Infinity
  knowsLimits = true
  opened = 0
  isDestroyed = false
  readonly peer = peer
  onChange: () => void = () => {}
  readonly closed: Promise<void>
  answer: (request: TunnelRequest) => Promise<void> = async () => {}
  #resolveClosed = () => {}

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
  }

  get isClosed(): boolean {
    return !this.usable && this.activeStreams === 0
  }

  async open(request: TunnelRequest): Promise<FakeTunnel> {
    this.opened++
    this.activeStreams++
    try {
      await Promise.race([this.answer(request), rejectedOnAbort(request.signal), this.closed.then(lost)])
      return new FakeTunnel(this)
    } catch (error) {
      this.streamEnded()
      throw error
    }
  }

  streamEnded(): void {
    this.activeStreams--
    this.onChange()
    if (this.isClosed) this.#resolveClosed()
  }

  change(change: Partial<Pick<FakeConnection, 'usable' | 'maxStreams' | 'knowsLimits'>>): void {
    Object.assign(this, change)
    this.onChange()
  }

  drain(): void {
    this.usable = false
    if (this.isClosed) this.#resolveClosed()
  }

  /** The end of the connection, by us or by the peer. */
  destroy(): void {
    this.isDestroyed = true
    this.usable = false
    this.#resolveClosed()
  }
}

class FakeTunnel implements OutgoingTunnel {
  readonly status = 200
  readonly peer = peer
  readonly connection: FakeConnection
  constructor(connection: FakeConnection) {
    this.connection = connection
  }
  header(): undefined {}
  splice(): never {
    throw new Error('not in these tests')
  }
  reset(): void {
    this.connection.streamEnded()
  }
}

function lost(): never {
  throw new HboneError('h2', 'connection lost')
}

async function rejectedOnAbort(signal: CancelSignal | undefined): Promise<void> {
  await new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(new HboneError('aborted', 'the caller gave up')))
  })
}

export function refused(): HboneError {
  return new HboneError('h2', 'REFUSED_STREAM', { unprocessed: true })
}

/** A pool with everything that it touches. */
function poolWith(settings: Partial<PoolSettings>) {
  const clock = new FakeClock()
  const connections: FakeConnection[] = []
  const ends: { destroyed: boolean }[] = []
  const world = {
    clock,
    connections,
    ends,
    dials: 0,
    dial: async (_signal: AbortSignal): Promise<void> => {},
    tls: async () => tls,
    handshake: async (_signal: AbortSignal): Promise<void> => {},
    prepare: (_connection: FakeConnection): void => {},
    pool: new HbonePool({
      clock,
      ...settings,
      connect: async (_end, _tls, signal) => {
        await world.handshake(signal)
        const connection = new FakeConnection()
        world.prepare(connection)
        connections.push(connection)
        return connection
      },
    }),
    request: (key = 'a', signal?: AbortSignal): PoolRequest => ({
      key,
      authority: '10.0.0.2:8080',
      headers: [],
      tls: async () => world.tls(),
      dial: async (dialSignal) => {
        world.dials++
        await world.dial(dialSignal)
        return fakeEnd(ends)
      },
      ...(signal ? { signal } : {}),
    }),
    open: async (key?: string, signal?: AbortSignal) =>
      (await world.pool.open(world.request(key, signal))) as FakeTunnel,
    openMany: async (count: number, key?: string) =>
      Promise.all(Array.from({ length: count }, async () => world.open(key))),
    live: () => connections.filter((connection) => !connection.isClosed && !connection.isDestroyed).length,
  }
  return world
}

export type PoolWorld = ReturnType<typeof poolWith>

/** A test with a pool of its own. After it, the pool is destroyed and nothing may be left. */
export function poolTest(
  name: string,
  settings: Partial<PoolSettings>,
  run: (t: Test, world: PoolWorld) => Promise<void>,
): void {
  void t.test(name, async (t) => {
    const world = poolWith(settings)
    await run(t, world)
    world.pool.destroy()
    await world.clock.advance(0)
    t.equal(world.clock.pendingTimers, 0, 'no timer is left')
    t.equal(world.pool.size, 0, 'no connection is left')
    t.equal(world.pool.waiting, 0, 'no request waits')
    t.equal(world.live(), 0, 'the peers see every connection closed')
  })
}

function fakeEnd(ends: { destroyed: boolean }[]): TcpEnd {
  const address = { address: '10.0.0.2', port: 15_008 }
  const state = { destroyed: false }
  ends.push(state)
  return { fd: -1, remote: address, local: address, destroy: () => void (state.destroyed = true) }
}

export async function codeOf(promise: Promise<unknown>): Promise<HboneErrorCode | 'opened' | undefined> {
  return promise.then(
    () => 'opened',
    (error: unknown) => (error instanceof HboneError ? error.code : undefined),
  )
}

export function forever(): Promise<never> {
  return new Promise(() => {})
}
