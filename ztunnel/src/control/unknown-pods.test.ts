import t from 'tap'
import { FakeClock } from '@ambit/shared/clock'
import { silentLog, type Log } from '@ambit/shared/log'
import { Mesh } from '@ambit/shared/mesh'
import { parseLocalFile } from '@ambit/shared/mesh/local'
import type { Pod } from '../pod.ts'
import { UnknownPods } from './unknown-pods.ts'

function pod(name: string, serviceAccount = name): Pod {
  return { uid: name, name, namespace: 'default', serviceAccount }
}

function watching(nodeName: string | undefined): {
  readonly unknown: UnknownPods
  readonly clock: FakeClock
  readonly warnings: string[]
  readonly add: (name: string, node: string) => void
} {
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (text) => void warnings.push(text) }
  const clock = new FakeClock()
  const mesh = new Mesh({ nodeName })
  const add = (name: string, node: string): void => {
    const record = `{ uid: ${name}, name: ${name}, namespace: default, serviceAccount: ${name}, node: ${node}, workloadIps: [], services: {} }`
    mesh.apply({ upserts: parseLocalFile(`workloads: [${record}]`), removals: [] })
  }
  return { unknown: new UnknownPods({ mesh, nodeName, clock, log }), clock, warnings, add }
}

void t.test('a pod whose record is of another node is told once, with that node, by whatever clock', async (t) => {
  const { unknown, clock, warnings, add } = watching('node-x')
  const client = pod('client')
  add('client', 'node-a')
  unknown.captured([client])
  clock.stepWallClock(3_600_000)
  unknown.captured([client])
  await clock.advance(4_999)
  t.same(warnings, [])
  clock.stepWallClock(-7_200_000)
  unknown.captured([client])
  await clock.advance(1)
  t.same(warnings, [
    'the mesh has no workload default/client of service account client on node node-x (it has one on node node-a): its connections fail; check NODE_NAME and LOCAL_XDS_PATH',
  ])
  unknown.captured([client])
  await clock.advance(60_000)
  t.equal(warnings.length, 1)
  t.equal(clock.pendingTimers, 0)
})

void t.test('what differs is told; nothing where the mesh has no such name', async (t) => {
  const { unknown, clock, warnings, add } = watching(undefined)
  add('client', 'node-a')
  unknown.captured([pod('client', 'other'), pod('stranger')])
  await clock.advance(5_000)
  t.match(warnings, [
    'default/client of service account other (it has one of service account client): its',
    'default/stranger of service account stranger: its',
  ])
})

void t.test('a record in time, a pod that left in time and one that comes back', async (t) => {
  const { unknown, clock, warnings, add } = watching('node-a')
  const [client, left, late] = [pod('client'), pod('left'), pod('late')]
  unknown.captured([client, left])
  await clock.advance(3_000)
  unknown.captured([client, late])
  add('client', 'node-a')
  await clock.advance(2_000)
  t.same(warnings, [])
  await clock.advance(3_000)
  t.match(warnings, ['default/late of'])
  unknown.captured([])
  t.equal(clock.pendingTimers, 0)
  unknown.captured([pod('late')])
  await clock.advance(5_000)
  t.equal(warnings.length, 2, 'captured anew it is told anew')
  unknown.captured([pod('late')])
  unknown.stop()
  unknown.captured([pod('late')])
  t.equal(clock.pendingTimers, 0)
})
