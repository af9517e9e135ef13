import * as fc from 'fast-check'
import t from 'tap'
import { FakeClock } from '../clock/index.ts'
import { SpiffeId } from '../identity/index.ts'
import { silentLog } from '../log/index.ts'
import {
  createConnectionRecorder,
  createLog,
  LogLevels,
  METRICS,
  MetricRegistry,
  OpenTally,
  type ConnectionInfo,
  type ConnectionRecorder,
  type OpenConnection,
} from './index.ts'

const FAMILIES = Object.values(METRICS)
const OPENED = METRICS.opened.name
const CLOSED = METRICS.closed.name

function startWorker(maxSeriesPerFamily: number): { registry: MetricRegistry; recorder: ConnectionRecorder } {
  const registry = new MetricRegistry({
    clock: new FakeClock(),
    log: silentLog,
    maxSeriesPerFamily,
    maxClaimsPerPeer: 2,
  })
  const clock = new FakeClock()
  const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'ztunnel' })
  return { registry, recorder: createConnectionRecorder({ registry, log, clock }) }
}

/** Who is named `w…` calls itself so; the others are known by their identity alone. */
function connection(name: string): ConnectionInfo {
  const identity = SpiffeId.of('cluster.local', 'default', name.startsWith('w') ? 'mallory' : name)
  return {
    direction: 'inbound',
    mutualTls: true,
    src: {
      addr: { address: '192.0.2.1', port: 1 },
      identity,
      ...(name.startsWith('w') && { baggage: { workloadName: name } }),
    },
    dst: { addr: { address: '10.0.0.2', port: 15_008 } },
  }
}

/** Value of each sample of a counter, by its label text without the flag. */
function byEnds(registry: MetricRegistry, name: string): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const line of registry.render(FAMILIES).split('\n')) {
    const [, sample, labels = '', value] = /^(\w+)_total\{(.*)\} (\d+)$/.exec(line) ?? []
    if (sample !== name) continue
    const ends = labels.replace(/response_flags="[^"]*"/, '')
    sums[ends] = (sums[ends] ?? 0) + Number(value)
  }
  return sums
}

function sum(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((total, value) => total + value, 0)
}

void t.test('what was open by the last delta counts as closed by a cut, once', async (t) => {
  const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog })
  const { registry, recorder } = startWorker(5_000)
  const tally = new OpenTally()
  const told = (): void => {
    const delta = structuredClone(registry.takeDelta())
    control.merge(delta, 'w', FAMILIES)
    tally.add(delta)
  }
  const [first] = [recorder.opened(connection('a')), recorder.opened(connection('a')), recorder.opened(connection('b'))]
  told()
  first.finish({ flag: 'DENY', error: 'x' })
  recorder.opened(connection('c')).finish('success')
  told()
  recorder.opened(connection('d'))
  t.same([sum(byEnds(control, OPENED)), sum(byEnds(control, CLOSED))], [4, 2])
  control.merge(tally.cut(), 'w', FAMILIES)
  t.same(byEnds(control, CLOSED), byEnds(control, OPENED))
  t.same(
    [...control.render([METRICS.failed]).matchAll(/response_flags="(\w+)".* (\d+)\n/g)].map(([, flag, value]) => [
      flag,
      value,
    ]),
    [
      ['DENY', '1'],
      ['CONNECT', '1'],
      ['CONNECT', '1'],
    ],
  )
  t.same(
    tally.cut().flatMap(({ series }) => series),
    [],
  )
})

void t.test('whatever was opened, closed and told before, opened equals closed after the death', async () => {
  const names = fc.constantFrom('a', 'b', 'c', 'w1', 'w2', 'w3', 'w4')
  const step = fc.record({ name: names, isTold: fc.boolean(), ends: fc.option(fc.nat(9)), isRefused: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(2, 5_000), (steps, maxSeries) => {
      const control = new MetricRegistry({ clock: new FakeClock(), log: silentLog, maxClaimsPerPeer: 2 })
      for (const worker of ['1', '2']) {
        const { registry, recorder } = startWorker(maxSeries)
        const tally = new OpenTally()
        const open: OpenConnection[] = []
        for (const { name, isTold, ends, isRefused } of steps) {
          open.push(recorder.opened(connection(`${name}${name.startsWith('w') ? worker : ''}`)))
          const [one] = ends === null ? [] : open.splice(ends, 1)
          one?.finish(isRefused ? { flag: 'DENY', error: 'x' } : 'success')
          if (!isTold) continue
          const delta = structuredClone(registry.takeDelta())
          control.merge(delta, worker, FAMILIES)
          tally.add(delta)
        }
        control.removeSource(worker)
        control.merge(tally.cut(), worker, FAMILIES)
      }
      const [opened, closed] = [byEnds(control, OPENED), byEnds(control, CLOSED)]
      if (sum(opened) !== sum(closed)) return false
      return maxSeries === 2 || Object.entries(opened).every(([ends, count]) => (closed[ends] ?? 0) === count)
    }),
    { numRuns: 300 },
  )
})
