// What an HBONE server tells node:http2 of itself: KEY CERTIFICATE HOST AUTHORITY GROUPS. Asks for one tunnel, and prints one line of JSON: its
// SETTINGS, its window for the connection and the header `baggage` of its answer, or why it cannot be had.
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'

const [keyFile = '', certificateFile = '', host = '', authority = '', groups = ''] = process.argv.slice(2)

function tell(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

const session = connect(`https://${host}:15008`, {
  key: readFileSync(keyFile),
  cert: readFileSync(certificateFile),
  // The peer's name is a SPIFFE ID, which node:tls does not check.
  rejectUnauthorized: false,
  ALPNProtocols: ['h2'],
  ecdhCurve: groups,
})
session.on('error', (error) => tell({ error: error.message }))
const stream = session.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false })
stream.on('error', () => {})
stream.on('response', ({ ':status': status, baggage }) => {
  const { initialWindowSize, maxFrameSize } = session.remoteSettings
  tell({ status, baggage, initialWindowSize, maxFrameSize, connectionWindow: session.state.remoteWindowSize })
  stream.end()
  stream.resume()
  session.close()
})
