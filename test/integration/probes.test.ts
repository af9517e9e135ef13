// Which connections of the node's own processes pass the proxy: those to the addresses that the mesh has for a captured pod,
// not to those that a pod says it has.
import t from 'tap'
import { eventually, inside, must, TestMesh, type TestNode } from '../kit/index.ts'
import { FABRIC_V4, FABRIC_V6 } from '../kit/topology.ts'

const PORT = 9_000
/** Says to whoever connects which address it came from. */
const MIRROR = `require('net').createServer((socket) => socket.end(socket.remoteAddress))
  .listen(${PORT}, '::', () => console.log('listening'))`
const PROBE_V4 = '::ffff:169.254.7.127'
const PROBE_V6 = 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff'

t.setTimeout(60_000)

void t.test('probes', async (t) => {
  const mesh = await TestMesh.create()
  try {
    mesh.environment['AMBIT_DRIFT_INTERVAL'] = '300ms'
    const a = await mesh.node('a')
    const pod = await a.pod('pod')
    const other = await a.pod('other')
    const outside = mesh.start('mirror', [process.execPath, '-e', MIRROR])
    const application = pod.start('mirror', [process.execPath, '-e', MIRROR])
    await eventually('both listen', () => [outside, application].every(({ output }) => output.includes('listening')))
    other.isEnrolled = true
    await mesh.startCa()
    await mesh.startZtunnel(a)
    await mesh.captured()

    await t.test('an address that a pod has given itself stays whose it is', async (t) => {
      for (const address of [`${FABRIC_V4}/32`, `${FABRIC_V6}/128`, `${a.v4}/32`])
        await pod.must(['ip', 'addr', 'add', address, 'dev', 'eth0'])
      await mesh.enrol([pod])
      t.equal(await seenFrom(a, FABRIC_V4), `::ffff:${a.v4}`)
      t.equal(await seenFrom(a, FABRIC_V6), 'fd50::1')
      t.equal(await seenFrom(a, pod.v4), PROBE_V4)
      t.equal(await seenFrom(a, pod.v6), PROBE_V6)
    })

    await t.test("so does the node's own, also where the mesh takes it for a pod's", async (t) => {
      pod.record['workloadIps'] = [pod.v4, a.v4]
      mesh.save()
      await eventually('the record is taken over', async () => !(await probed(a)).includes(pod.v6))
      t.same(await probed(a), [pod.v4, other.v4, other.v6].sort())
    })

    await t.test(
      'an address that the mesh has and the pod has not is nobody to probe; it is once the pod has it',
      async (t) => {
        const [later, laterV6] = ['10.1.1.77', 'fd01:1::77']
        pod.record['workloadIps'] = [later, laterV6]
        mesh.save()
        await eventually('the record is taken over', async () => !(await probed(a)).includes(pod.v4))
        t.same(await probed(a), [other.v4, other.v6].sort())
        for (const address of [`${later}/32`, `${laterV6}/128`])
          await pod.must(['ip', 'addr', 'add', address, 'dev', 'eth0'])
        await eventually('both are', async () => (await probed(a)).length === 4)
        t.equal(await seenFrom(a, later), PROBE_V4)
        await pod.must(['ip', 'addr', 'del', `${later}/32`, 'dev', 'eth0'])
        await eventually('not any more', async () => !(await probed(a)).includes(later))
      },
    )

    await t.test('a pod that the mesh does not know yet can be probed when it does', async (t) => {
      await mesh.enrol([pod], false)
      delete pod.record['workloadIps']
      pod.record['node'] = 'elsewhere'
      await mesh.enrol([pod])
      t.same(await probed(a), [other.v4, other.v6].sort())
      delete pod.record['node']
      mesh.save()
      await eventually('probed', async () => (await seenFrom(a, pod.v4)) === PROBE_V4)
      t.equal(await seenFrom(a, pod.v6), PROBE_V6)
      t.notMatch(a.proxy.program.output, /changed by someone/)
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

/** The addresses that the node's rules name, in order. */
async function probed(node: TestNode): Promise<readonly string[]> {
  const table = await node.must(['nft', 'list', 'table', 'inet', 'ambit-node'])
  return [...table.matchAll(/elements = \{ ([^}]*) \}/g)].flatMap(([, list = '']) => list.split(/,\s*/)).sort()
}

/** Where a connection of the node's own comes from, as the other end sees it. */
async function seenFrom(node: TestNode, address: string): Promise<string> {
  const program = `const socket = require('net').connect(${PORT}, '${address}')
    socket.setTimeout(5_000, () => socket.destroy()).on('error', () => {}).pipe(process.stdout)`
  return must([...inside(node.place.namespace), process.execPath, '-e', program])
}
