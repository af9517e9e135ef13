import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { silentLog, type Log } from '@ambit/shared/log'
import type { ToWorker } from '../messages.ts'
import { WorkerProcess, type DataWorker } from './worker-process.ts'
import { WorkerPulse } from './worker-pulse.ts'
import { WorkerWatch } from './worker-watch.ts'

const INTERVAL_MS = 5_000
const MEGABYTE: ToWorker = { type: 'crl', lists: ['x'.repeat(1024 * 1024)] }

class Watched implements DataWorker {
  readonly pid = 4711
  readonly pulse = new WorkerPulse()
  killed = 0

  send(): void {}

  end(): void {}

  kill(): void {
    this.killed++
  }
}

void t.test('who gives no sign of life for 30 s is killed, who gives one in time is not', async (t) => {
  const { clock, watch, errors, workers } = watching()
  const [dead, late] = workers
  await clock.advance(INTERVAL_MS * 5)
  late.pulse.spoke()
  t.same([dead.killed, late.killed], [0, 0])
  await clock.advance(INTERVAL_MS)
  t.same([dead.killed, late.killed], [1, 0])
  t.match(errors, [/data worker 4711 has given no sign of life for 30 s: it is killed/])
  watch.stop()
})

void t.test('that it reads is a sign of life where messages wait, and else none', async (t) => {
  const { clock, watch, workers } = watching()
  const [reader, deaf] = workers
  const waiting = [reader.pulse.sending(MEGABYTE), reader.pulse.sending(MEGABYTE)]
  for (let look = 0; look < 10; look++) {
    await clock.advance(INTERVAL_MS)
    waiting.push(reader.pulse.sending(MEGABYTE))
    waiting.shift()?.()
    // There is room for it in the channel.
    deaf.pulse.sending({ type: 'report', id: look, connections: false })()
  }
  t.equal(reader.killed, 0)
  t.ok(deaf.killed > 0)
  watch.stop()
})

void t.test('who stands still is killed sooner where much waits for it', async (t) => {
  const { clock, watch, errors, workers } = watching()
  const [flooded] = workers
  for (let count = 0; count < 200; count++) flooded.pulse.sending(MEGABYTE)
  await clock.advance(INTERVAL_MS)
  t.equal(flooded.killed, 0, 'it may have been busy for a moment')
  for (let count = 0; count < 129; count++) flooded.pulse.sending(MEGABYTE)
  await clock.advance(INTERVAL_MS)
  t.equal(flooded.killed, 1)
  t.match(errors, [/no sign of life for 10 s and 129 MiB wait for it: it is killed/])
  watch.stop()
})

void t.test('a stopped process gives no sign of life until it goes on', async (t) => {
  const exited = Promise.withResolvers<void>()
  const worker = new WorkerProcess({ onMessage() {}, onExit: () => exited.resolve() }, process.env)
  process.kill(worker.pid, 'SIGSTOP')
  for (let count = 0; count < 8; count++) worker.send(MEGABYTE)
  await setTimeout(20)
  worker.pulse.look()
  t.equal(worker.pulse.look(), 2)
  process.kill(worker.pid, 'SIGCONT')
  while (worker.pulse.look() > 0) await setTimeout(20) // it starts, and reads all of it
  worker.kill('SIGKILL')
  await exited.promise
})

function watching(): {
  readonly clock: FakeClock
  readonly watch: WorkerWatch
  readonly errors: string[]
  readonly workers: readonly [Watched, Watched]
} {
  const clock = new FakeClock()
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (text) => void errors.push(text) }
  const workers = [new Watched(), new Watched()] as const
  return { clock, watch: new WorkerWatch({ workers: () => workers, clock, log }), errors, workers }
}
