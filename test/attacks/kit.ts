import { readdirSync } from 'node:fs'
import { FakeClock } from '@ambit/shared/clock'
import t, { type Test } from 'tap'
import { GoodPeer } from './good-peer.ts'
import { PREFACE, settings } from './raw-frames.ts'
import type { RawPeer } from './raw-peer.ts'
import { Victim, type VictimOptions } from './victim.ts'

/** Real milliseconds before an expectation counts as broken. */
const PATIENCE_MS = Number(process.env['AMBIT_TEST_PATIENCE_MS'] ?? 10_000)

export interface Bounds extends VictimOptions {
  /** The attacked connection is ended with GOAWAY of this code, without GOAWAY (`cut`), or goes on (`tolerated`). */
  readonly ends: number | 'cut' | 'tolerated'
  /** Most requests of the attacker that come through to our handler. */
  readonly tunnels: number
  /** Most connections to applications made for the attacker. Default 0. */
  readonly dials?: number
  /** Most bytes held for any one connection. Default 1 MiB. */
  readonly bufferedBytes?: number
  /** The attacker sends the preface and SETTINGS before the attack. Default true. */
  readonly hasPreface?: boolean
}

/**
 * An attack and the five things that must hold: the connection is ended (or has reason to go on), work is bounded, memory is
 * bounded, nothing is left afterwards, and a good peer was served all the while. The attacker may leave
 * its connection open.
 */
export function attack(
  name: string,
  bounds: Bounds,
  run: (peer: RawPeer, victim: Victim, t: Test) => Promise<void>,
): void {
  void t.test(name, async (t) => {
    await warmUp()
    const descriptorsBefore = descriptors()
    const victim = await Victim.start(bounds)
    const good = await GoodPeer.connect(await victim.dialTls())
    const peer = await victim.rawPeer()
    const sampling = setInterval(() => victim.sample(), 1)
    if (bounds.hasPreface ?? true) await peer.send(PREFACE, settings())
    const echoesBefore = good.echoes
    await run(peer, victim, t)
    await assertEnd(t, bounds, peer, victim)
    clearInterval(sampling)
    peer.destroy()

    t.ok(victim.tunnels - 1 <= bounds.tunnels, `bounded work: ${victim.tunnels - 1} requests came through`)
    t.ok(victim.dials - 1 <= (bounds.dials ?? 0), `bounded work: ${victim.dials - 1} dials`)
    const bufferedBytes = bounds.bufferedBytes ?? 1_048_576
    t.ok(victim.peakBufferedBytes <= bufferedBytes, `bounded memory: ${victim.peakBufferedBytes} bytes at the peak`)

    await eventually(() => good.echoes > echoesBefore)
    await good.stop()
    t.pass(`a good peer was served: ${good.echoes} round trips`)

    victim.close()
    t.ok(await eventually(() => victim.connections.size === 0), 'nothing left: connections')
    t.ok(await eventually(() => victim.applications.sockets.size === 0), 'nothing left: applications')
    t.same([victim.heldMemory.bytes, victim.heldMemory.shares], [0, 0], 'nothing left: memory')
    if (victim.clock instanceof FakeClock) t.equal(victim.clock.pendingTimers, 0, 'nothing left: timers')
    t.ok(await eventually(() => descriptors() <= descriptorsBefore), 'nothing left: descriptors')
  })
}

async function assertEnd(t: Test, { ends }: Bounds, peer: RawPeer, victim: Victim): Promise<void> {
  if (ends === 'tolerated') {
    t.notOk(peer.isClosed, 'the connection goes on')
    t.equal(peer.goawayCode, undefined)
    return
  }
  t.ok(await eventually(() => victim.connections.size === 1), 'the attacked connection is ended')
  if (ends === 'cut') t.equal(peer.goawayCode, undefined, 'without GOAWAY')
  else t.ok(await eventually(() => peer.goawayCode === ends), `GOAWAY says why: ${peer.goawayCode}, expected ${ends}`)
}

/** Waits until it holds; false when it does not in time. */
export async function eventually(holds: () => boolean): Promise<boolean> {
  const until = Date.now() + PATIENCE_MS
  while (!holds()) {
    if (Date.now() > until) return false
    await new Promise((resolve) => {
      setTimeout(resolve, 2)
    })
  }
  return true
}

/** Open descriptors of this process. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

let isWarm = false

/** What Node opens once and keeps is opened before anything is counted. */
async function warmUp(): Promise<void> {
  if (isWarm) return
  isWarm = true
  const victim = await Victim.start()
  await (await GoodPeer.connect(await victim.dialTls())).stop()
  victim.close()
  await eventually(() => victim.connections.size === 0 && victim.applications.sockets.size === 0)
}
