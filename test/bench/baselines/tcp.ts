// Baseline: one hop of node:net. node tcp.ts LISTEN_HOST TARGET_HOST LISTEN:TARGET …
import { connect, createServer } from 'node:net'

const [listenHost = '', targetHost = '', ...ports] = process.argv.slice(2)
const HIGH_WATER_MARK = 1_048_576

for (const pair of ports) {
  const [listen, target] = pair.split(':').map(Number)
  const options = { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_MARK }
  createServer(options, (client) => {
    const server = connect({ host: targetHost, port: target ?? 0, allowHalfOpen: true, noDelay: true })
    client.on('error', () => server.destroy())
    server.on('error', () => client.destroy())
    client.pipe(server)
    server.pipe(client)
  }).listen({ host: listenHost, port: listen, backlog: 4_096 })
}
process.stdout.write('listening\n')
