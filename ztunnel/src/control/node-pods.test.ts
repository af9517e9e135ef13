import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@ambit/shared/clock'
import { selectIo } from '@ambit/shared/io'
import { Mesh } from '@ambit/shared/mesh'
import { createLog, LogLevels, MetricRegistry } from '@ambit/shared/telemetry'
import t from 'tap'
import { eventually } from '../../../shared/src/io/io-fixture.ts'
import { ofWorkload, workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import { readConfig } from '../config/index.ts'
import { NodePods } from './node-pods.ts'

void t.test('pods that wait to be captured have certificates, as who the mesh says they are', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ambit-node-pods-'))
  const file = join(directory, 'pods.yaml')
  const write = (...names: string[]): void => {
    const pods = names.map((name) => `{ name: ${name}, namespace: n, serviceAccount: ${name}, netns: /no/${name} }`)
    writeFileSync(`${file}.new`, `pods: [${pods.join()}]`)
    renameSync(`${file}.new`, file)
  }
  const mesh = new Mesh({ nodeName: 'a' })
  const clock = systemClock
  const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'p' })
  let wanted: readonly string[] = []
  const pods = new NodePods({
    config: readConfig({ XDS_ADDRESS: '', LOCAL_XDS: '{}', LOCAL_PODS_PATH: file, NODE_NAME: 'a' }),
    io: await selectIo({ log }),
    node: undefined,
    mesh,
    certificates: {
      want: (identities) => void (wanted = [...identities].map(String)),
      wantAlso: () => t.fail('nobody serves'),
    },
    workers: { workers: new Set(), broadcast: () => t.fail('no worker is concerned') },
    workersDone: () => Promise.resolve(),
    metrics: new MetricRegistry({ log, clock }),
    clock,
    log,
    onChanged: () => {},
  })
  t.teardown(() => {
    pods.stop()
    pods.close()
    rmSync(directory, { recursive: true })
  })
  write('one', 'two')
  await pods.start()
  await eventually(() => pods.pending.size === 2 && wanted.length === 2, 'the pods are known')
  t.strictSame(wanted, ['spiffe://cluster.local/ns/n/sa/one', 'spiffe://cluster.local/ns/n/sa/two'])

  mesh.apply({ upserts: [ofWorkload(workload('one', { namespace: 'n', trustDomain: 'elsewhere' }))], removals: [] })
  pods.meshChanged()
  t.match(wanted[0], 'cluster.local', 'not before all of the change is known')
  pods.meshSettled()
  t.strictSame(wanted, ['spiffe://elsewhere/ns/n/sa/one', 'spiffe://cluster.local/ns/n/sa/two'])

  write('two')
  await eventually(() => pods.pending.size === 1 && wanted.length === 1, 'the change is known')
  t.strictSame(wanted, ['spiffe://cluster.local/ns/n/sa/two'])
})
