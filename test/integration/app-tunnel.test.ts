// An application that takes connections for others, as a waypoint does behind ztunnel: it listens on loopback, and a PROXY
// header tells it who came and where to.
import t from 'tap'
import { startNginx } from '../demo/programs.ts'
import { eventually, TestMesh } from '../kit/index.ts'

const TUNNEL_PORT = 15_088
/** Any port of the pod leads to the tunnel. */
const PORT = 4_321

t.setTimeout(90_000)

void t.test('an application behind a tunnel of its own', async (t) => {
  const mesh = await TestMesh.create()
  try {
    const [a, b] = [await mesh.node('a'), await mesh.node('b')]
    const client = await a.pod('client')
    const gateway = await b.pod('gateway')
    gateway.record['applicationTunnel'] = { protocol: 'PROXY', port: TUNNEL_PORT }
    startNginx(
      mesh,
      gateway,
      `server {
        listen 127.0.0.1:${TUNNEL_PORT} proxy_protocol; listen [::1]:${TUNNEL_PORT} proxy_protocol;
        location / {
          return 200 "$remote_addr, for $proxy_protocol_addr to $proxy_protocol_server_addr:$proxy_protocol_server_port\\n";
        }
      }`,
    )
    await mesh.up()
    await eventually('connected', async () => (await client.curl(gateway.v4, PORT)).ok)

    for (const [family, loopback, from, to, authority] of [
      ['IPv4', '127.0.0.1', client.v4, gateway.v4, gateway.v4],
      ['IPv6', '::1', client.v6, gateway.v6, `[${gateway.v6}]`],
    ] as const) {
      await t.test(`${family}: dialled from loopback, told who came`, async (t) => {
        const { stdout, stderr } = await client.curl(to, PORT)
        t.equal(stdout || stderr, `${loopback}, for ${from} to ${to}:${PORT}\n`)
        t.match(await b.proxy.access({ direction: 'inbound', 'dst.hbone_addr': `${authority}:${PORT}` }), {
          'src.identity': client.identity,
        })
      })
    }
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})
