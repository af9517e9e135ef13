import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import type { ByteIo, Splice } from '../io/index.ts'
import { bothIos, eventually, listen, receiveAll, sendRandom } from '../io/io-fixture.ts'
import { connectionPair, endOf, exchange, openTunnel, type ConnectionPair, type Tunnel } from './tunnel-fixture.ts'

const MIB = 1_048_576

/** Of at most MOST_WINDOWS, so many must be fair. */
const FAIR_WINDOWS = 3
const MOST_WINDOWS = 15

/** `AMBIT_STRESS=full` makes it 1 GiB over 1,000 streams, all of them open at once. */
const STRESS =
  process.env['AMBIT_STRESS'] === 'full'
    ? { connections: 10, streamsOfEach: 100, bytes: MIB }
    : { connections: 1, streamsOfEach: 100, bytes: MIB / 2 }

// On a busy machine all of it takes longer than tap allows a file by itself.
t.setTimeout(600_000)

for (const io of bothIos()) {
  const test = (name: string, body: (t: Test) => Promise<void>): void => void t.test(`${io.name}: ${name}`, body)

  test('a receiver that does not read stops its own tunnel only, in bounded memory', async (t) => {
    const pair = await connectionPair(io)
    const stuck = await Promise.all(Array.from({ length: 6 }, () => openTunnel(io, pair)))
    const total = 16 * MIB
    const sent = stuck.map(({ near }) => sendRandom(near, total))
    const passed = (): number => stuck.reduce((sum, { farSplice }) => sum + farSplice.bytesAtoB, 0)
    for (let still = 0, before = -1; still < 20; before = passed()) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5)
      })
      still = passed() === before ? still + 1 : 0
    }
    t.ok(passed() < 6 * total)
    t.ok(pair.server.bufferedBytes <= 6 * 4 * MIB, `${pair.server.bufferedBytes} bytes wait`)
    const other = await openTunnel(io, pair)
    await exchange(t, other.near, other.far)
    const got = await Promise.all(stuck.map(({ far }) => receiveAll(far)))
    t.same(got, await Promise.all(sent))
    for (const { far, near } of stuck) {
      far.end()
      near.resume()
    }
    await Promise.all(stuck.map(({ nearSplice }) => nearSplice.finished))
    await endOf(t, io, pair)
  })

  const streams = STRESS.connections * STRESS.streamsOfEach
  test(`carries ${streams} streams of ${STRESS.bytes} bytes exactly, all open at once`, async (t) => {
    const pairs = await Promise.all(Array.from({ length: STRESS.connections }, async () => connectionPair(io)))
    const tunnels = await Promise.all(pairs.map(async (pair) => openMany(io, pair, STRESS.streamsOfEach)))
    t.equal(
      pairs.reduce((sum, { client }) => sum + client.activeStreams, 0),
      streams,
    )
    const exact = await Promise.all(tunnels.flat().map(carriesExactly))
    t.equal(exact.filter(Boolean).length, streams)
    await Promise.all(pairs.map(async (pair) => endOf(t, io, pair)))
  })

  test('shares a connection fairly between bulk streams', async (t) => {
    const pair = await connectionPair(io)
    const [sources, sinks] = [listen(io), listen(io)]
    const workerData = { sourcePort: sources.port, sinkPort: sinks.port, count: 8 }
    const worker = new Worker(new URL('bulk-worker-fixture.ts', import.meta.url), { workerData })
    const splices = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const opening = pair.client.open({ authority: 'a:1', headers: [] })
        const [near, far, incoming] = await Promise.all([sources.next(), sinks.next(), pair.nextTunnel()])
        const atFar = incoming.accept([], far)
        ;(await opening).splice(near)
        return atFar
      }),
    )
    // What lies in socket buffers at the start belongs to whoever came first.
    await windowOf(splices)
    const ratios: number[] = []
    const fair = (): number => ratios.filter((ratio) => ratio >= 0.8).length
    while (fair() < FAIR_WINDOWS && ratios.length < MOST_WINDOWS) {
      const shares = await windowOf(splices)
      ratios.push(Math.min(...shares) / Math.max(...shares))
    }
    // A source that the kernel did not let run has nothing to be carried: on a busy machine more windows are looked at.
    t.equal(fair(), FAIR_WINDOWS, `least to most: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}`)
    for (const { listener } of [sources, sinks]) listener.close()
    pair.client.destroy()
    await worker.terminate()
    await endOf(t, io, pair)
  })

  test('two hundred resets a second on a busy connection harm no other tunnel', async (t) => {
    const pair = await connectionPair(io)
    const kept = await openTunnel(io, pair)
    for (let second = 0; second < 5; second++) {
      for (let i = 0; i < 100; i++) {
        // Half of them before the answer, half in the data phase.
        const early = new AbortController()
        const opening = pair.client.open({ authority: 'a:1', headers: [], signal: early.signal })
        await pair.nextTunnel()
        early.abort()
        await t.rejects(opening)
        const { near, far, nearSplice, farSplice } = await openTunnel(io, pair)
        nearSplice.abort()
        await farSplice.finished
        near.destroy()
        far.destroy()
      }
      await pair.clock.advance(1000)
    }
    await exchange(t, kept.near, kept.far)
    await endOf(t, io, pair)
  })
}

/** One after the other, so that what is needed for opening (listeners) is not needed for all at once. */
async function openMany(io: ByteIo, pair: ConnectionPair, count: number): Promise<Tunnel[]> {
  const tunnels: Tunnel[] = []
  while (tunnels.length < count) tunnels.push(await openTunnel(io, pair))
  return tunnels
}

/** Random bytes both ways in random pieces with random pauses: whether every one arrived as it was sent. */
async function carriesExactly({ near, far, nearSplice, farSplice }: Tunnel): Promise<boolean> {
  const [up, down, gotUp, gotDown] = await Promise.all([
    sendRandom(near, STRESS.bytes / 2),
    sendRandom(far, STRESS.bytes / 2),
    receiveAll(far),
    receiveAll(near),
  ])
  await Promise.all([nearSplice.finished, farSplice.finished])
  return up === gotUp && down === gotDown
}

/**
 * What each has carried until every one of them has carried 32 MiB more: a peer gives credit in portions of 2 MiB, so that over
 * 4 MiB equal streams stood at 0.72 to 0.79.
 */
async function windowOf(splices: readonly Splice[]): Promise<number[]> {
  const start = splices.map(({ bytesAtoB }) => bytesAtoB)
  const carried = (): number[] => splices.map(({ bytesAtoB }, index) => bytesAtoB - (start[index] ?? 0))
  await eventually(() => Math.min(...carried()) > 32 * MIB, 'a good deal was carried')
  return carried()
}
