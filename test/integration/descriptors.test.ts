// A worker that has no file descriptor left for connections still takes the listeners of a pod that is enrolled.
import t from 'tap'
import { eventually, Talker, TestMesh } from '../kit/index.ts'

const PORT = 9_000
/** More than two workers may have. */
const CONNECTIONS = 1_200
const FEW = ['prlimit', '--nofile=512:512', process.execPath]

t.setTimeout(90_000)

void t.test('descriptors', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const a = await mesh.node('a')
    const b = await mesh.node('b')
    const greedy = await a.pod('greedy')
    const late = await a.pod('late')
    const server = await b.pod('server')
    const [serverTalker, lateTalker] = await Promise.all([server, late].map((pod) => Talker.start(pod)))
    if (!serverTalker || !lateTalker) throw new Error('a talker is missing')
    await serverTalker.listen(PORT, { echo: true })
    await mesh.startCa()
    await Promise.all([mesh.startZtunnel(a, {}, { under: FEW }), mesh.startZtunnel(b)])
    await mesh.enrol([greedy, server])

    const hog = greedy.start('hog', [process.execPath, '-e', hogOf(server.v4)])
    await eventually('none is left for connections', () =>
      /no file descriptor is left for further/.test(a.proxy.program.output),
    )

    await t.test('a pod that is enrolled meanwhile is captured, and its connections do not hang', async (t) => {
      await mesh.enrol([late])
      lateTalker.open('first', server.v4, PORT)
      await lateTalker.heard('first', /^(error|ended|closed)/)
      t.notMatch(a.proxy.program.output, /a listener cannot be taken/)
    })

    await t.test('and are carried as soon as there is room', async (t) => {
      await hog.stop('SIGKILL')
      await eventually('none of its connections is left', async () => {
        return (
          (await a.proxy.metric('istio_tcp_connections_opened_total')) ===
          (await a.proxy.metric('istio_tcp_connections_closed_total'))
        )
      })
      lateTalker.open('second', server.v4, PORT)
      await lateTalker.echoes('second', 'hello')
      t.pass()
    })
  } finally {
    t.same(await mesh.close(), [])
  }
})

function hogOf(host: string): string {
  return `
    const net = require('node:net')
    function open() {
      const socket = net.connect(${PORT}, '${host}')
      socket.on('error', () => {}).on('close', () => setTimeout(open, 100)).resume()
    }
    for (let i = 0; i < ${CONNECTIONS}; i++) open()`
}
