// one-connection-a-port.ts FIRST LAST 'HOST PORT'…: from each local port, one after the other, one echo to every place in turn.
import { once } from 'node:events'
import { connect } from 'node:net'

const [first = '', last = '', ...places] = process.argv.slice(2)

for (const place of places) {
  const [host = '', port = ''] = place.split(' ')
  let echoes = 0
  for (let localPort = Number(first); localPort <= Number(last); localPort++) {
    const socket = connect({ host, port: Number(port), localPort })
    socket.setTimeout(5_000, () => socket.destroy(new Error('timed out')))
    socket.end('x')
    try {
      const [answer] = await once(socket, 'data')
      if (String(answer) === 'x') echoes++
      await once(socket, 'close')
    } catch (error) {
      process.stdout.write(`${place} from ${localPort}: ${String(error)}\n`)
      break
    }
  }
  process.stdout.write(`${place}: ${echoes}\n`)
}
