import { connect, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import t, { type Test } from 'tap'
import { FakeClock } from '../clock/index.ts'
import {
  HttpEndpoint,
  Readiness,
  serveMetrics,
  serveReadiness,
  silentLog,
  text,
  type HttpHandler,
  type LogFields,
} from './index.ts'

const LOOPBACK = { address: '127.0.0.1', port: 0 }

/** The end of a test closes the endpoint and cuts what is still open. */
function closing(t: Test, endpoint: HttpEndpoint): number {
  t.teardown(() => endpoint.close(0))
  return endpoint.ports[0] ?? 0
}
function optionsOf() {
  const clock = new FakeClock()
  return { clock, options: { addresses: [LOOPBACK], log: silentLog, clock } }
}

interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** Sends bytes as they are and reads until the server closes. */
async function raw(port: number, request: string): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  socket.write(request)
  const chunks: Buffer[] = []
  // A reset after the answer is a close, too.
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  await closed(socket)
  return Buffer.concat(chunks)
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
  })
}

function parse(answer: Buffer): Answer {
  const end = answer.indexOf('\r\n\r\n')
  const [first = '', ...lines] = answer.subarray(0, Math.max(end, 0)).toString('latin1').split('\r\n')
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { status: Number(first.split(' ')[1]), headers, body: answer.subarray(end + 4) }
}

async function ask(port: number, method: string, target: string, ...headers: string[]): Promise<Answer> {
  const lines = [`${method} ${target} HTTP/1.1`, 'host: x', 'connection: close', ...headers]
  return parse(await raw(port, `${lines.join('\r\n')}\r\n\r\n`))
}

function brief({ status, headers, body }: Answer): readonly unknown[] {
  return [status, headers.get('content-type'), body.toString()]
}

const PLAIN = 'text/plain; charset=utf-8'

void t.test('readiness: 200 when nothing is pending, else 500 with what is', async (t) => {
  const readiness = new Readiness()
  const port = closing(t, await serveReadiness(readiness, optionsOf().options))
  readiness.begin('xds')
  readiness.begin('ca')
  t.same(brief(await ask(port, 'GET', '/healthz/ready')), [500, PLAIN, 'not ready, pending: ca, xds\n'])
  readiness.done('xds')
  t.same(brief(await ask(port, 'GET', '/healthz/ready?x=1')), [500, PLAIN, 'not ready, pending: ca\n'])
  readiness.done('ca')
  t.same(brief(await ask(port, 'GET', '/healthz/ready')), [200, PLAIN, 'ready\n'])
  t.same(brief(await ask(port, 'POST', '/healthz/ready')), [405, PLAIN, 'method not allowed\n'])
  t.equal((await ask(port, 'HEAD', '/healthz/ready')).status, 405)
  for (const path of ['/', '/healthz', '/healthz/ready/', '/HEALTHZ/READY', '*', '//healthz/ready']) {
    t.same(brief(await ask(port, 'GET', path)), [404, PLAIN, 'not found\n'], path)
  }
})
