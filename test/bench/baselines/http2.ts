// Baseline: CONNECT over node:http2 with mutual TLS, windows tuned as far as they helped.
// node http2.ts client LISTEN_HOST PEER TARGET_HOST LISTEN:TARGET …  and  node http2.ts server LISTEN_HOST PORT
// Credentials: ROOT, CHAIN and KEY are files.
import { readFileSync } from 'node:fs'
import {
  connect as connectHttp2,
  createSecureServer,
  type ClientHttp2Session,
  type Http2Stream,
  type ServerHttp2Stream,
  type SecureServerOptions,
} from 'node:http2'
import { connect, createServer, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'

const STREAM_WINDOW = 4 * 1_048_576
const CONNECTION_WINDOW = 16 * 1_048_576
const HIGH_WATER_MARK = 1_048_576
const credentials = {
  ca: readFileSync(process.env['ROOT'] ?? ''),
  cert: readFileSync(process.env['CHAIN'] ?? ''),
  key: readFileSync(process.env['KEY'] ?? ''),
  minVersion: 'TLSv1.3',
} as const
const http2Options = {
  settings: {
    initialWindowSize: STREAM_WINDOW,
    maxFrameSize: 1_048_576,
    maxConcurrentStreams: 100_000,
    headerTableSize: 0,
  },
  maxSessionMemory: 10_000,
  streamResetBurst: 1e9,
  streamResetRate: 1e9,
} satisfies SecureServerOptions

function join(socket: Socket, stream: Http2Stream): void {
  socket.on('error', () => stream.destroy())
  stream.on('error', () => socket.destroy())
  socket.pipe(stream)
  stream.pipe(socket)
}

function serve(host: string, port: number): void {
  const server = createSecureServer({
    ...credentials,
    ...http2Options,
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ['h2'],
    noDelay: true,
    highWaterMark: HIGH_WATER_MARK,
  })
  server.on('session', (session) => session.setLocalWindowSize(CONNECTION_WINDOW))
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const target = new URL(`tcp://${headers[':authority'] ?? ''}`)
    const options = { host: target.hostname, port: Number(target.port), allowHalfOpen: true, noDelay: true }
    const socket = connect(options, () => {
      stream.respond({ ':status': 200 })
      join(socket, stream)
    })
    socket.on('error', () => stream.destroy())
  })
  server.listen({ host, port, backlog: 4_096 })
}

function tunnel(host: string, peer: string, targetHost: string, ports: readonly string[]): void {
  const secureContext = createSecureContext(credentials)
  const { hostname, port: peerPort } = new URL(`tcp://${peer}`)
  let current: ClientHttp2Session | undefined
  const session = (): ClientHttp2Session => {
    if (current && !current.closed && !current.destroyed) return current
    const opened = connectHttp2(`https://${peer}`, {
      ...http2Options,
      createConnection: () => {
        const socket = connectTls({
          host: hostname,
          port: Number(peerPort),
          secureContext,
          ALPNProtocols: ['h2'],
          // The certificate names a workload, not a host; its chain is verified.
          checkServerIdentity: () => undefined,
        })
        socket.setNoDelay(true)
        return socket
      },
    })
    opened.on('connect', () => opened.setLocalWindowSize(CONNECTION_WINDOW))
    opened.on('error', () => (current = undefined))
    opened.on('close', () => (current = undefined))
    current = opened
    return opened
  }
  for (const pair of ports) {
    const [listen, target] = pair.split(':').map(Number)
    const authority = `${targetHost}:${target}`
    const options = { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_MARK, pauseOnConnect: true }
    createServer(options, (socket) => {
      const stream = session().request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false })
      socket.on('error', () => stream.destroy())
      stream.on('error', () => socket.destroy())
      stream.on('response', (headers) => {
        if (headers[':status'] !== 200) return socket.destroy()
        join(socket, stream)
        return socket.resume()
      })
    }).listen({ host, port: listen, backlog: 4_096 })
  }
}

const [role, ...words] = process.argv.slice(2)
if (role === 'server') serve(words[0] ?? '', Number(words[1]))
else tunnel(words[0] ?? '', words[1] ?? '', words[2] ?? '', words.slice(3))
process.stdout.write('listening\n')
