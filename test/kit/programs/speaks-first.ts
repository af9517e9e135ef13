// A server that greets before it is spoken to, as mail and database servers do: node speaks-first.ts PORT GREETING
import { createServer } from 'node:net'

const [port = '0', greeting = 'hello'] = process.argv.slice(2)
const server = createServer((socket) => {
  socket.on('error', () => {})
  socket.end(`${greeting} ${socket.remoteAddress?.replace('::ffff:', '') ?? ''}\n`)
})
server.listen(Number(port), '::', () => process.stdout.write('listening\n'))
