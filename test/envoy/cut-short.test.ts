// Envoy 1.40 resets a tunnel whose server has ended before its client, though the last bytes still wait for the window: they are
// lost, and Envoy calls it a success (envoyproxy/envoy#28329). Our client's application must not take that for the end.
import t from 'tap'
import { authorityOf, eventually, issueCredentials, Talker, TestMesh } from '../kit/index.ts'
import { envoyServer } from './configuration.ts'
import { Envoy } from './envoy.ts'

const PORT = 9_000
const WINDOW = 65_536
/** More than the window, and less than Envoy would hold for a client that does not take it. */
const BYTES = 300_000

t.setTimeout(60_000)

void t.test('what Envoy cuts short does not look complete', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const node = await mesh.node('a')
    const client = await node.pod('client')
    const server = await node.pod('server', { protocol: 'TCP' })
    server.record['protocol'] = 'HBONE'
    mesh.environment['HTTP2_STREAM_WINDOW_SIZE'] = String(WINDOW)
    const application = await Talker.start(server)
    await application.listen(PORT)
    const here = await Talker.start(client)
    await mesh.up()
    const envoy = await Envoy.start(
      mesh,
      server,
      envoyServer({
        listenHost: '::',
        port: 15_008,
        targetHost: server.v4,
        targets: [PORT],
        credentials: issueCredentials(mesh.files, 'envoy', server.identity, authorityOf(mesh.files)),
        peerIdentity: client.identity,
      }),
    )

    here.open('reader', server.v4, PORT)
    const there = await application.accepted(PORT)
    // Nobody gives credit while the proxy's workers stand still.
    const workers = await node.proxy.workers()
    for (const pid of workers) process.kill(pid, 'SIGSTOP')
    try {
      application.pour(there, BYTES)
      const poured = await application.heard(there, /^poured/)
      application.end(there)
      await eventually('Envoy has it all', async () => {
        return (await envoy.stat(`cluster.app-${PORT}.upstream_cx_rx_bytes_total`)) === BYTES
      })
      for (const pid of workers) process.kill(pid, 'SIGCONT')
      const heard = await here.heard('reader', /^(ended|error)/)
      const line = await node.proxy.access({ message: 'connection complete', 'src.workload': 'client' })
      if (heard.startsWith('error')) t.match(line, { level: 'error', error: /^the peer reset the stream/ })
      else {
        t.equal(heard.replace('ended', 'poured'), poured)
        t.match(line, { level: 'info', bytes_recv: BYTES })
      }
    } finally {
      for (const pid of workers) process.kill(pid, 'SIGCONT')
    }
  } finally {
    t.same(await mesh.close(), [])
  }
})
