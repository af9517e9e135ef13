// node:http2 as an HBONE peer of a real proxy:
// KEY CERTIFICATE serve PORT | KEY CERTIFICATE ask HOST AUTHORITY BYTES [METHOD [HEADERS as JSON]].
// The server echoes every tunnel; the client sends random bytes, ends its half, and tells in one line of JSON what came back.
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, createSecureServer, type ClientHttp2Session, type ServerHttp2Stream } from 'node:http2'

const HBONE_PORT = 15_008

function tell(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const [keyFile = '', certificateFile = '', role, ...words] = process.argv.slice(2)
const [where = '', authority = '', bytes = '0', method = 'CONNECT', more = '{}'] = words
const moreHeaders: Readonly<Record<string, string>> = JSON.parse(more)
const credentials = {
  key: readFileSync(keyFile),
  cert: readFileSync(certificateFile),
  // The peer's name is a SPIFFE ID, which node:tls does not check: told to the test instead.
  rejectUnauthorized: false,
}

/** Tunnels to 9998, the first of which is lost with its connection. */
let lost = 0

function serve(port: number): void {
  const server = createSecureServer({ ...credentials, requestCert: true, ALPNProtocols: ['h2'] })
  server.on('secureConnection', (socket) => tell({ peer: socket.getPeerX509Certificate()?.subjectAltName }))
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    tell({ headers })
    stream.on('error', (error) => tell({ error: error.message }))
    if (headers[':authority']?.endsWith(':9998') && ++lost === 1) return stream.session?.socket.destroy()
    if (headers[':authority']?.endsWith(':9999')) return stream.respond({ ':status': 503 }, { endStream: true })
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  server.listen(port, '::', () => tell({ listening: port }))
}

function request(session: ClientHttp2Session, target: string, size: number): Promise<void> {
  const isTunnel = method === 'CONNECT'
  const url = isTunnel ? {} : { ':scheme': 'https', ':path': '/' }
  const headers = { ':method': method, ':authority': target, ...url, ...moreHeaders }
  const stream = session.request(headers, { endStream: !isTunnel })
  const [sent, received] = [createHash('sha256'), createHash('sha256')]
  let [status, count]: [unknown, number] = [undefined, 0]
  stream.on('response', (answer) => {
    status = answer[':status']
    if (!isTunnel || status !== 200) return void stream.end()
    const payload = randomBytes(size)
    sent.update(payload)
    stream.end(payload)
  })
  stream.on('data', (chunk: Buffer) => {
    received.update(chunk)
    count += chunk.length
  })
  stream.on('error', () => {})
  return new Promise((resolve) => {
    stream.once('close', () => {
      tell({ status, count, isSame: sent.digest('hex') === received.digest('hex'), code: stream.rstCode })
      resolve()
    })
  })
}

async function ask(): Promise<void> {
  const session = connect(`https://${where.includes(':') ? `[${where}]` : where}:${HBONE_PORT}`, {
    ...credentials,
    ALPNProtocols: ['h2'],
  })
  session.on('error', (error) => tell({ error: error.message }))
  session.on('goaway', (code) => tell({ goaway: code }))
  // All on one connection, one after the other: a refusal must not harm those that follow.
  for (const target of authority.split(',')) await request(session, target, Number(bytes))
  if (!session.closed) session.close()
}

if (role === 'serve') serve(Number(where))
else await ask()
