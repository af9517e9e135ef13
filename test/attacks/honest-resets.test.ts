// nodejs/node#56306: clients that abort now and then are no attack. 200 resets a second on one busy pooled connection must
// harm no other stream (nghttp2's own limit, 33 a second, ends such a connection with all its tunnels).
import { randomBytes } from 'node:crypto'
import { systemClock } from '@ambit/shared/clock'
import t from 'tap'
import { descriptors, eventually } from './kit.ts'
import { join, steadyStream } from './steady-stream.ts'
import { PoolUser } from './upstream.ts'
import { Victim } from './victim.ts'

const RESETS = 440
const RESETS_PER_SECOND = 220
/** A machine that stood still must not make up for it at once: more streams than one connection takes make a second one. */
const MAX_UNDER_WAY = 64

void t.test('200 resets a second harm no other stream of the connection', async (t) => {
  const before = descriptors()
  const victim = await Victim.start({ clock: systemClock })
  const user = await PoolUser.start(systemClock)
  const stop = new AbortController()
  const steady = Promise.all(Array.from({ length: 8 }, async () => steadyStream(user, victim.port, stop.signal)))
  await eventually(() => victim.tunnels === 8)

  let underWay = 0
  const errors: unknown[] = []
  const openAndReset = async (i: number): Promise<void> => {
    const abort = new AbortController()
    const opening = user.open(victim.port, i % 5 === 0 ? 'pending:1' : 'echo:1', abort.signal)
    if (i % 5 === 0) {
      // Given up before the answer.
      setTimeout(() => abort.abort(), 5)
      return void (await opening.catch(() => {}))
    }
    const tunnel = await opening
    if (i % 5 === 1) return tunnel.reset()
    const { socket, abort: abortSplice } = await join(user, tunnel)
    socket.write(randomBytes(1000))
    await eventually(() => socket.bytesRead > 0)
    abortSplice()
    socket.destroy()
  }
  const started = Date.now()
  for (let resets = 0; resets < RESETS;) {
    const due = Math.min(((Date.now() - started) * RESETS_PER_SECOND) / 1000, RESETS)
    for (; resets < due && underWay < MAX_UNDER_WAY; resets++) {
      underWay++
      openAndReset(resets)
        .catch((error: unknown) => errors.push(error))
        .finally(() => underWay--)
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 5)
    })
  }
  t.ok(await eventually(() => underWay === 0), 'all of them ended')
  t.same(errors, [], 'every request was served')
  t.equal(user.pool.size, 1, 'one connection for all')
  t.equal(victim.connections.size, 1, 'on both sides')

  stop.abort()
  const bytes = await steady
  t.ok(
    bytes.every((count) => count > 0),
    `steady streams moved ${bytes.join(', ')} bytes, every hash right`,
  )
  user.close()
  victim.close()
  t.ok(await eventually(() => victim.connections.size === 0), 'nothing left: connections')
  t.ok(await eventually(() => descriptors() <= before + 1), 'nothing left: descriptors')
})
