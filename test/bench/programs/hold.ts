// Opens connections and holds them idle until its input ends: node hold.ts HOST PORT COUNT. Says "holding" when all are open.
import { connect, type Socket } from 'node:net'

const [host = '', port = '0', count = '0'] = process.argv.slice(2)
const AT_ONCE = 50
const sockets: Socket[] = []

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) })
    socket.once('error', reject)
    socket.once('connect', () => {
      sockets.push(socket)
      // One byte makes the application's side real; the request stays unfinished.
      socket.write('G', () => resolve())
    })
  })
}

async function lane(): Promise<void> {
  while (started < Number(count)) {
    started++
    await open()
  }
}

let started = 0
await Promise.all(Array.from({ length: AT_ONCE }, lane))
process.stdout.write('holding\n')
process.stdin.resume()
process.stdin.once('end', () => process.exit(0))
