import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { FakeClock } from '../clock/index.ts'
import { silentLog } from '../log/index.ts'
import type { HttpEndpoint } from './index.ts'

export const PLAIN = 'text/plain; charset=utf-8'
export const LOOPBACK = { address: '127.0.0.1', port: 0 }

/** What endpoints of a test share; `open` gives the port and has the end of the test cut what is still open. */
export function endpointKit(t: Test) {
  const clock = new FakeClock()
  const open = async (endpoint: Promise<HttpEndpoint>): Promise<number> => {
    const listening = await endpoint
    t.teardown(async () => {
      const done = listening.close(0)
      await clock.advance(0)
      await done
    })
    return listening.ports[0] ?? 0
  }
  return { clock, open, options: { addresses: [LOOPBACK], log: silentLog, clock } }
}

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
}

/** Sends bytes as they are and reads until the server closes. */
export async function raw(port: number, request: string): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  socket.write(request)
  const chunks: Buffer[] = []
  // A reset after the answer is a close, too.
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  await closed(socket)
  return Buffer.concat(chunks)
}

export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve())
  })
}

export function parse(answer: Buffer): Answer {
  const end = answer.indexOf('\r\n\r\n')
  const [first = '', ...lines] = answer.subarray(0, Math.max(end, 0)).toString('latin1').split('\r\n')
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { status: Number(first.split(' ')[1]), headers, body: answer.subarray(end + 4) }
}

export async function ask(port: number, method: string, target: string, ...headers: string[]): Promise<Answer> {
  const lines = [`${method} ${target} HTTP/1.1`, 'host: localhost', 'connection: close', ...headers]
  return parse(await raw(port, `${lines.join('\r\n')}\r\n\r\n`))
}

export function brief({ status, headers, body }: Answer): readonly unknown[] {
  return [status, headers.get('content-type'), body.toString()]
}
