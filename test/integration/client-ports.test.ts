// A pod may connect from one port to many places, one after the other, as it may without the mesh.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Talker, TestMesh } from '../kit/index.ts'

t.setTimeout(60_000)

const PROGRAM = fileURLToPath(new URL('programs/one-connection-a-port.ts', import.meta.url))
const [PORT, OTHER_PORT] = [80, 8_080]
/** Where two of these ports' connections look the same to the kernel, it may choose among these alone for the second. */
const [FIRST, LAST] = [600, 1_023]

void t.test('ports of a client', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const client = await (await mesh.node('a')).pod('client')
    const b = await mesh.node('b')
    const servers = [await b.pod('one'), await b.pod('other')]
    for (const server of servers) {
      const talker = await Talker.start(server)
      for (const port of [PORT, OTHER_PORT]) await talker.listen(port, { echo: true })
    }
    await mesh.up()
    for (const family of ['v4', 'v6'] as const)
      await t.test(`all of them are used towards two servers and two ports of one, over IP${family}`, async (t) => {
        const places = [
          ...servers.map((server) => `${server[family]} ${PORT}`),
          `${servers[0]?.[family]} ${OTHER_PORT}`,
        ]
        const words = [process.execPath, PROGRAM, `${FIRST}`, `${LAST}`, ...places]
        const { stdout, stderr } = await client.run(words, { timeoutMs: 30_000 })
        t.equal(stdout + stderr, places.map((place) => `${place}: ${LAST - FIRST + 1}\n`).join(''))
      })
  } finally {
    await mesh.close()
  }
})
