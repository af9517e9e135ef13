// A peer that renews its TLS keys: now and then it may, over and over it is put off, whatever is done to the wall clock.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { authority, SERVER, workload } from '../certificates/certificate-fixture.ts'
import { secureContextFor } from '../certificates/index.ts'
import { hasOpenssl } from '../certificates/openssl-fixture.ts'
import { FakeClock } from '../clock/index.ts'
import { bothIos, eventually, listen } from './io-fixture.ts'

const nowMs = Date.now()
const certificate = workload(authority('root', { nowMs }), SERVER, { nowMs })
/** OpenSSL's client asks for a new secret of ours too. */
const MOST_UPDATES = 32
const A_MINUTE = 60_000

for (const io of bothIos()) {
  void t.test(`key updates on the ${io.name} io`, { skip: !hasOpenssl && 'no openssl' }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-tls-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    writeFileSync(join(folder, 'cert.pem'), certificate.chainPem.join(''))
    writeFileSync(join(folder, 'key.pem'), certificate.privateKeyPem)
    const { listener, port, next } = listen(io)
    const words = ['s_client', '-connect', `127.0.0.1:${port}`, '-alpn', 'h2', '-cert', 'cert.pem', '-key', 'key.pem']
    const peer = spawn('openssl', words, { cwd: folder, stdio: ['pipe', 'ignore', 'pipe'] })
    const exited = new Promise((resolve) => peer.once('exit', resolve))
    let told = ''
    peer.stderr.on('data', (chunk: Buffer) => (told += chunk.toString('latin1')))
    peer.stdin.on('error', () => {})
    const clock = new FakeClock()
    const secured = await io.secure(await next(), {
      role: 'server',
      context: secureContextFor(certificate),
      alpn: 'h2',
      verify: () => {},
      handshakeTimeoutMs: 10_000,
      clock,
    })
    listener.close()
    let got = ''
    let why: string | undefined
    secured.port.start({
      onBytes: (slab, start, end) => (got += slab.bytes.toString('latin1', start, end)),
      onWritten: () => {},
      onClosed: (reason) => (why = reason ?? 'ended'),
    })
    const updates = (): number => told.split('KEYUPDATE').length - 1
    /** A letter at the start of what it reads is a command. */
    const update = async (): Promise<void> => {
      const before = updates()
      peer.stdin.write('K\n')
      await eventually(() => updates() > before || why !== undefined, 'the peer renews its keys')
    }
    const says = async (words: string): Promise<void> => {
      peer.stdin.write(`${words}\n`)
      await eventually(() => got.includes(words) || why !== undefined, 'it is heard')
    }

    for (let minute = 1; minute <= 2; minute++) {
      for (let count = 1; count < MOST_UPDATES; count++) await update()
      await says(`minute ${minute}`)
      t.equal(why, undefined, 'some of them are in order')
      await clock.advance(A_MINUTE)
      clock.stepWallClock(-2 * A_MINUTE)
    }
    for (let count = 1; count <= MOST_UPDATES; count++) {
      await update()
      clock.stepWallClock(A_MINUTE)
    }
    await eventually(() => why !== undefined, 'it is put off')
    t.equal(why, 'the peer renews its TLS keys over and over')
    peer.kill()
    await exited
  })
}
