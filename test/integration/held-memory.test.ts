// An application that hangs while much is sent to it: what the node holds for it is bounded, and costs nobody else anything.
import t from 'tap'
import { eventually, Talker, TestMesh } from '../kit/index.ts'

const PORT = 9_000
/** More than the kernel keeps for a connection and its tunnel's window together. */
const POURED = 64 * 1_048_576
const CONNECTIONS = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6']
/** Two windows of 4 MiB, and no third; but as little as half of one may be full when its application hangs. */
const MAX_HELD = 10_000_000
const FEWEST_KEPT = 2
const MOST_KEPT = 4

t.setTimeout(90_000)

void t.test('held memory', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const [a, b] = [await mesh.node('a'), await mesh.node('b')]
    const client = await a.pod('client')
    const hanging = await b.pod('hanging')
    const server = await b.pod('server')
    const [here, deaf, there] = await Promise.all([client, hanging, server].map((pod) => Talker.start(pod)))
    if (!here || !deaf || !there) throw new Error('a talker is missing')
    await Promise.all([deaf.listen(PORT), there.listen(PORT, { echo: true })])
    mesh.environment['AMBIT_HELD_MEMORY_SIZE'] = String(MAX_HELD)
    await mesh.up()
    here.open('other', server.v4, PORT)
    await here.echoes('other', 'before')
    for (const name of CONNECTIONS) here.open(name, hanging.v4, PORT)
    await eventually('all are accepted', () => deaf.acceptances.length === CONNECTIONS.length)

    await t.test('connections to it are reset, as many as it takes', async (t) => {
      deaf.program.signal('SIGSTOP')
      for (const name of CONNECTIONS) here.pour(name, POURED)
      await eventually('there is room for the rest', () => resets(here).length >= CONNECTIONS.length - MOST_KEPT)
      for (const name of resets(here)) t.match(here.events(name), ['connected', 'error ECONNRESET'])
      const line = await b.proxy.access({ level: 'error', 'dst.workload': 'hanging', direction: 'inbound' })
      t.match(line['error'], /^the tunnel was reset: \d+ bytes are held for applications and peers that do not read$/)
    })

    await t.test('nobody else notices', async (t) => {
      await here.echoes('other', 'during')
      t.same(
        here.events('other').filter((event) => !event.startsWith('got')),
        ['connected'],
      )
      deaf.program.signal('SIGCONT')
      await eventually(
        'the rest is carried to the end',
        () => resets(here).length + poured(here).length === CONNECTIONS.length,
      )
      t.ok(poured(here).length >= FEWEST_KEPT, `${poured(here).length} went on`)
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

function resets(talker: Talker): string[] {
  return CONNECTIONS.filter((name) => talker.events(name).some((event) => event.startsWith('error')))
}

function poured(talker: Talker): string[] {
  return CONNECTIONS.filter((name) => talker.events(name).some((event) => event.startsWith('poured')))
}
