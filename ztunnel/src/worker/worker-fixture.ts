// A worker as its control process has it, with a clock that the test moves, in this process: real sockets, TLS and applications.
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { CrlSet, secureContextFor, toWire, type WorkloadCertificate } from '@ambit/shared/certificates'
import { FakeClock } from '@ambit/shared/clock'
import type { Test } from 'tap'
import * as certificates from '../../../shared/src/certificates/certificate-fixture.ts'
import { boundHandle } from '../../../shared/src/io/io-fixture.ts'
import { ofWorkload, workload } from '../../../shared/src/mesh/mesh-fixture.ts'
import { readConfig } from '../config/index.ts'
import type { FromWorker, ToWorker } from '../messages.ts'
import { Worker } from './worker.ts'

export const POD = { uid: 'pod', name: 'server', namespace: 'shop', serviceAccount: 'server' }
export const ROOT = certificates.authority('root')
/** Of the drain's look at what is still open. */
const STEP_MS = 50

/** A certificate of the identity that the tests' clients have. */
export function clientCertificate(): WorkloadCertificate {
  return certificates.workload(ROOT, certificates.CLIENT)
}

/** `clientCertificate` as revoked, or whatever certificates are given, in a message. */
export function revoking(...revoked: readonly WorkloadCertificate[]): ToWorker {
  const leaves = revoked.flatMap(({ chainPem }) => chainPem.slice(0, 1))
  const pem = certificates.crlPem(certificates.revocationList(ROOT, leaves))
  return { type: 'crl', lists: CrlSet.load(pem).lists.map(({ der }) => der.toString('base64')) }
}

export class WorkerUnderTest {
  readonly clock = new FakeClock()
  /** What it sent, in order. */
  readonly sent: FromWorker[] = []
  readonly worker: Worker
  readonly #log: string

  /** Tells it to start, and does not wait until it has. At the end of the test it has to be drained. */
  constructor(t: Test, { logLevels = 'info' }: { readonly logLevels?: string } = {}) {
    const directory = mkdtempSync(join(tmpdir(), 'ambit-worker-'))
    this.#log = join(directory, 'log')
    const logFd = openSync(this.#log, 'w')
    t.teardown(async () => {
      if (!this.worker.isDrained) await this.drained({ deadlineMs: 0 })
      closeSync(logFd)
      rmSync(directory, { recursive: true })
    })
    this.worker = new Worker({ send: (message) => void this.sent.push(message), clock: this.clock, logFd })
    // A dedicated proxy is where its workload is, so this takes no right over namespaces.
    const { worker: config } = readConfig({
      XDS_ADDRESS: '',
      LOCAL_XDS: '{}',
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: 'shop/server/server',
    })
    this.tell({ type: 'start', config, logLevels })
  }

  tell(message: ToWorker, handle?: unknown): void {
    this.worker.receive(message, handle)
  }

  /** Hands it a listener for peers; returns the port. */
  listen(id: number): number {
    const { handle, port } = boundHandle()
    this.tell({ type: 'listener', id, pod: POD, role: 'inbound', transparent: false }, handle)
    return port
  }

  /** The mesh has the pod, and the pod its certificate. */
  tellOfPod(): void {
    const { name, namespace, serviceAccount } = POD
    const record = workload(name, { namespace, serviceAccount, workloadIps: ['127.0.0.1'] })
    this.tell({ type: 'mesh', update: { upserts: [ofWorkload(record)], removals: [] } })
    this.tell({ type: 'certificate', certificate: toWire(certificates.workload(ROOT, certificates.SERVER)) })
  }

  /** Moves its time on, a little at once, until it has happened. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 30_000
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`did not happen: ${what}`)
      await this.clock.advance(STEP_MS)
      await setTimeout(1)
    }
  }

  /** What it answered, when it has. */
  async report(id: number, connections: boolean): Promise<Extract<FromWorker, { type: 'report' }>> {
    this.tell({ type: 'report', id, connections })
    const isIt = (message: FromWorker): boolean => message.type === 'report' && message.id === id
    await this.until(() => this.sent.some(isIt), 'the report')
    return this.sent.find(isIt) as Extract<FromWorker, { type: 'report' }>
  }

  async drained({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    this.tell({ type: 'drain', deadlineMs })
    await this.until(() => this.worker.isDrained, 'it is drained')
  }

  /** What it logged. */
  log(): string {
    return readFileSync(this.#log, 'utf8')
  }
}

/** An application that says everything back. Returns its port. */
export async function startEcho(t: Test): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** A tunnel of a foreign client (node:http2) to an application behind the worker. */
export class ForeignTunnel {
  readonly closed: Promise<unknown>
  readonly #session: ClientHttp2Session
  readonly #stream: ClientHttp2Stream

  private constructor(session: ClientHttp2Session, stream: ClientHttp2Stream) {
    this.#session = session
    this.#stream = stream
    this.closed = once(session, 'close')
  }

  /** Resolves when it is open. Rejects where it is refused. */
  static async open(port: number, app: number, certificate: WorkloadCertificate): Promise<ForeignTunnel> {
    const socket = connectTls({
      host: '127.0.0.1',
      port,
      secureContext: secureContextFor(certificate),
      // Who the server is, is not what is tested here.
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    })
    await once(socket, 'secureConnect')
    const session = connectHttp2('https://127.0.0.1', { createConnection: () => socket })
    // What ends it is told by `closed`.
    session.on('error', () => {})
    const stream = session.request({ ':method': 'CONNECT', ':authority': `127.0.0.1:${app}` }, { endStream: false })
    stream.on('error', () => {})
    const tunnel = new ForeignTunnel(session, stream)
    await Promise.race([once(stream, 'response'), tunnel.closed])
    if (session.destroyed) throw new Error('the connection was ended')
    return tunnel
  }

  /** What comes back for it. */
  async echo(text: string): Promise<string> {
    this.#stream.write(text)
    const [bytes] = (await once(this.#stream, 'data')) as [Buffer]
    return bytes.toString()
  }

  /** Ends it half by half, and the connection after it. */
  async end(): Promise<void> {
    this.#stream.end()
    this.#session.close()
    await this.closed
  }
}
