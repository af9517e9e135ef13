import { FakeClock } from '@ambit/shared/clock'
import { silentLog } from '@ambit/shared/log'
import { Mesh } from '@ambit/shared/mesh'
import t from 'tap'
import { workloads } from '../../../shared/src/mesh/local/local-file-fixture.ts'
import type { ToWorker } from '../messages.ts'
import { NodeMesh } from './node-mesh.ts'

/** What a worker knows from what it was sent. */
class KnownToWorker {
  readonly mesh = new Mesh({ nodeName: undefined })
  readonly sizes: number[] = []

  readonly receive = (message: ToWorker): void => {
    if (message.type !== 'mesh') throw new Error(`unexpected: ${message.type}`)
    this.mesh.apply(message.update)
    this.sizes.push(this.mesh.sizes.workloads)
  }
}

void t.test('an update goes on in parts, and a worker that starts between two of them misses nothing', async (t) => {
  const workers = [new KnownToWorker()]
  const seen: string[] = []
  const mesh = new NodeMesh({
    maxReadingBytes: 2 ** 31,
    from: { inline: workloads(2_500) },
    nodeName: undefined,
    clock: new FakeClock(),
    log: silentLog,
    broadcast: (message) => {
      seen.push('sent')
      for (const worker of workers) worker.receive(message)
    },
    onPart: () => {
      seen.push(`known ${mesh.state.sizes.workloads}`)
      // After this part and before the next one.
      setImmediate(() => {
        const late = new KnownToWorker()
        mesh.sendAll(late.receive)
        workers.push(late)
      })
    },
    onUpdated: () => void seen.push('updated'),
  })
  await mesh.start()
  t.strictSame(seen, ['known 1000', 'sent', 'known 2000', 'sent', 'known 2500', 'sent', 'updated'])
  t.equal(workers.length, 4)
  for (const { mesh: known, sizes } of workers) {
    t.strictSame(sizes, [1_000, 2_000, 2_500], 'each part once')
    t.strictSame(known.snapshot(), mesh.state.snapshot())
  }
  t.equal(mesh.written.length, 2_500)
})
