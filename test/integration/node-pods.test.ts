// A pod from its line in the file to its removal, as its node's workers and certificates hear of it, in a real namespace.
import { renameSync } from 'node:fs'
import t from 'tap'
import { systemClock } from '@ambit/shared/clock'
import { selectIo } from '@ambit/shared/io'
import { Mesh } from '@ambit/shared/mesh'
import { createLog, LogLevels, MetricRegistry } from '@ambit/shared/telemetry'
import { readConfig } from '../../ztunnel/src/config/index.ts'
import { NodePods } from '../../ztunnel/src/control/node-pods.ts'
import type { DataWorker } from '../../ztunnel/src/control/worker-process.ts'
import { primeThreadPool } from '../../ztunnel/src/linux/index.ts'
import type { ToWorker } from '../../ztunnel/src/messages.ts'
import { eventually, TestMesh } from '../kit/index.ts'
import { networkOf } from './network-of.ts'

t.setTimeout(60_000)

class Hearer implements DataWorker {
  readonly pid = 4711
  readonly heard: string[] = []

  send(message: ToWorker): void {
    this.heard.push(message.type === 'listener' ? message.role : message.type)
  }

  end(): void {}

  kill(): void {}
}

void t.test('workers get the listeners of a pod; its redirection goes when they have let go of it', async (t) => {
  await primeThreadPool()
  const mesh = await TestMesh.create()
  try {
    const pod = await (await mesh.node('a')).pod('pod')
    const file = mesh.files.path('node-pods.yaml')
    const write = (text: string): void => renameSync(mesh.files.write('node-pods.new', text), file)
    const before = await networkOf(pod.place.namespace)
    const clock = systemClock
    const log = createLog({ write: () => {}, format: 'plain', clock, levels: new LogLevels('off'), program: 'p' })
    const workers = new Set([new Hearer()])
    const [early] = workers
    const late = new Hearer()
    const wanted: string[] = []
    const done = Promise.withResolvers<void>()
    let isAsked = false
    const pods = new NodePods({
      config: readConfig({ XDS_ADDRESS: '', LOCAL_XDS: '{}', LOCAL_PODS_PATH: file }),
      io: await selectIo({ log }),
      node: undefined,
      mesh: new Mesh({ nodeName: undefined }),
      certificates: {
        want: (identities) => void wanted.push(`all: ${[...identities].join()}`),
        wantAlso: (identity) => void wanted.push(`also: ${identity.toString()}, ${pods.captured.size} captured`),
      },
      workers: { workers, broadcast: (message) => workers.forEach((worker) => worker.send(message)) },
      workersDone: () => {
        isAsked = true
        return done.promise
      },
      metrics: new MetricRegistry({ log, clock }),
      clock,
      log,
      onChanged: () => {},
    })
    try {
      write(`pods: [{ name: pod, namespace: n, serviceAccount: s, netns: ${pod.netns} }]`)
      await pods.start()
      await eventually('it is captured', () => pods.captured.size === 1 && wanted.length === 2)
      t.strictSame(early?.heard.splice(0), ['inbound', 'inboundPassthrough', 'outbound'])
      const identity = 'spiffe://cluster.local/ns/n/sa/s'
      t.strictSame(wanted.splice(0), [`also: ${identity}, 0 captured`, `all: ${identity}`])
      workers.add(late)
      pods.giveAll(late)
      t.strictSame(late.heard.splice(0), ['inbound', 'inboundPassthrough', 'outbound'])

      write('pods: []')
      await eventually('the workers are waited for', () => isAsked)
      t.strictSame([early?.heard, late.heard], [['pod-removed'], ['pod-removed']])
      t.equal(pods.captured.size, 1)
      t.not(await networkOf(pod.place.namespace), before, 'its open connections are not let out')
      done.resolve()
      await eventually('it is let go', () => pods.captured.size === 0 && wanted.length > 0)
      t.equal(await networkOf(pod.place.namespace), before)
      t.strictSame(wanted, ['all: '])
    } finally {
      done.resolve()
      pods.stop()
      pods.close()
    }
  } finally {
    t.same(await mesh.close(), [])
  }
})
