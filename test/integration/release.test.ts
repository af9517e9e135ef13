// A pod that is let go while its connections are under full load: they end, and nothing of them leaves in the clear.
import t from 'tap'
import { eventually, TestMesh, type Pod, type Program } from '../kit/index.ts'

t.setTimeout(60_000)

const PORT = 9_100

/** Sends without end to whoever connects, and takes all that comes. */
const PUMP = `
const pump = (socket) => {
  const more = () => { while (socket.write(Buffer.alloc(65536, 'secret'))); }
  socket.on('drain', more).on('error', () => {}).on('close', () => console.log('closed')).resume()
  more()
}
const [host] = process.argv.slice(1)
if (host) require('net').connect(${PORT}, host, function () { console.log('open'); pump(this) }).on('error', () => {})
else require('net').createServer(pump).listen(${PORT}, '::', () => console.log('listening'))`

void t.test('letting go of a pod', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const client = await (await mesh.node('a')).pod('client')
    const server = await (await mesh.node('b')).pod('server')
    const pump = server.start('pump', [process.execPath, '-e', PUMP])
    await says(pump, 'listening')
    await mesh.up()
    for (const released of [server, client]) {
      for (const host of [server.v4, server.v6]) {
        await t.test(`the ${released.name}, connected to ${host}`, async (t) => {
          const user = client.start('user', [process.execPath, '-e', PUMP, host])
          await says(user, 'open')
          const clear = await watch(released)
          await mesh.enrol([released], false)
          await says(user, 'closed')
          t.match(clear.output, /listening on/)
          await clear.stop()
          t.same(clear.output.match(/ IP6? .*/g) ?? [], [], 'no packet in the clear')
          await mesh.enrol([released])
        })
      }
    }
  } finally {
    t.same(await mesh.close(), [])
  }
})

/** What of the connection passes the pod's own interface. */
async function watch(pod: Pod): Promise<Program> {
  const dump = pod.start('tcpdump', ['tcpdump', '-l', '-n', '-i', 'eth0', 'tcp', 'port', String(PORT)])
  await says(dump, 'listening on')
  return dump
}

async function says(program: Program, words: string): Promise<void> {
  await eventually(`${program.name} says ${words}`, () => program.output.includes(words))
}
