// A mesh whose ztunnels nobody wants to end well, as when a profile is interrupted: they are killed, and nothing is left.
import t from 'tap'
import { TestMesh } from '../kit/index.ts'

/** Neither it nor what it starts ends on SIGTERM, nor is it ever ready. */
const STUBBORN = ['sh', '-c', 'trap "" TERM; sleep 600 & sleep 600']

void t.test('abandoned while a ztunnel starts', async (t) => {
  const mesh = await TestMesh.create()
  const node = await mesh.node('a')
  const refused = t.rejects(mesh.startZtunnel(node, {}, { under: STUBBORN }), /ztunnel a ended/)
  t.same(await mesh.abandon(), [])
  await refused
})
