// TCP connections and servers by command, one a line on its input; what happens is told on its output, one event a line.
//   listen PORT | echo PORT | open NAME HOST PORT | say NAME TEXT | pour NAME BYTES | end NAME | reset NAME | forget PORT
// Accepted connections are called PORT/1, PORT/2, … Every side keeps its half open until it is told to end it.
import { createHash, type Hash } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

interface Talk {
  readonly socket: Socket
  readonly hash: Hash
  received: number
}

const talks = new Map<string, Talk>()
const servers = new Map<string, Server>()
let accepted = 0

function tell(...words: readonly (string | number)[]): void {
  process.stdout.write(`${words.join(' ')}\n`)
}

function begin(name: string, socket: Socket, { echo = false } = {}): void {
  const talk: Talk = { socket, hash: createHash('sha256'), received: 0 }
  talks.set(name, talk)
  socket.on('connect', () => tell(name, 'connected'))
  socket.on('data', (chunk: Buffer) => {
    talk.received += chunk.length
    talk.hash.update(chunk)
    if (echo) socket.write(chunk)
    if (chunk.length < 200) tell(name, 'got', JSON.stringify(chunk.toString('latin1')))
  })
  socket.on('end', () => {
    tell(name, 'ended', talk.received, talk.hash.digest('hex'))
    if (echo) socket.end()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => tell(name, 'error', error.code ?? error.message))
  socket.on('close', () => tell(name, 'closed', Date.now()))
}

function listen(port: string, echo: boolean): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted++
    const name = `${port}/${accepted}`
    tell(name, 'accepted', socket.remoteAddress?.replace('::ffff:', '') ?? '', 'on', socket.localPort ?? 0)
    begin(name, socket, { echo })
  })
  server.on('error', (error) => tell('listening', port, error.message))
  server.listen(Number(port), '::', 4_096, () => tell('listening', port))
  servers.set(port, server)
}

/** Bytes that are the same on every run and differ from block to block. */
async function pour(socket: Socket, name: string, bytes: number): Promise<void> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes; at += 65_536) {
    const block = Buffer.alloc(Math.min(65_536, bytes - at), `block ${at} of what is poured;`)
    hash.update(block)
    if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  tell(name, 'poured', bytes, hash.digest('hex'))
}

function obey(line: string): void {
  const [command = '', name = '', ...rest] = line.split(' ')
  if (command === 'listen' || command === 'echo') return listen(name, command === 'echo')
  if (command === 'open') {
    const [host = '', port = ''] = rest
    return begin(name, connect({ host, port: Number(port), allowHalfOpen: true }))
  }
  if (command === 'forget') return void servers.get(name)?.close()
  const socket = talks.get(name)?.socket
  if (!socket) return tell('nobody', name)
  if (command === 'say') socket.write(rest.join(' '))
  if (command === 'pour') void pour(socket, name, Number(rest[0]))
  if (command === 'end') socket.end()
  if (command === 'reset') socket.resetAndDestroy()
}

createInterface({ input: process.stdin }).on('line', obey)
tell('ready')
