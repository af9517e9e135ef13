// nghttp and h2load of nghttp2-client: another implementation's command-line clients against our HBONE server. They cannot
// open tunnels, so what they get is the refusal, which must be cheap and must not cost them the connection.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { identities } from '../attacks/identities.ts'
import { descriptors, eventually } from '../attacks/kit.ts'
import { Victim } from '../attacks/victim.ts'
import { command } from '../kit/index.ts'

t.setTimeout(60_000)

const isInstalled = await Promise.all(
  ['nghttp', 'h2load'].map(async (program) =>
    command([program, '--version']).then(
      ({ code }) => code === 0,
      () => false,
    ),
  ),
)
const skip = isInstalled.every(Boolean) ? false : 'nghttp or h2load is not installed (Debian: nghttp2-client)'

const files = mkdtempSync(join(tmpdir(), 'ambit-nghttp-'))
t.teardown(() => rmSync(files, { recursive: true }))
const [key, certificate] = [join(files, 'key.pem'), join(files, 'certificate.pem')]
writeFileSync(key, identities.client.privateKeyPem, { mode: 0o600 })
writeFileSync(certificate, identities.client.chainPem.join(''))

/** A server for one test. After it, neither connections nor descriptors may be left. */
async function withVictim(t: Test, run: (victim: Victim, url: string) => Promise<void>): Promise<void> {
  const before = descriptors()
  const victim = await Victim.start()
  await run(victim, `https://127.0.0.1:${victim.port}/`)
  t.equal(victim.dials, 0, 'no application was dialled')
  t.ok(await eventually(() => victim.connections.size === 0), 'no connection is left')
  victim.close()
  t.ok(await eventually(() => descriptors() <= before + 1), 'no descriptor is left')
}

/** h2load knows no client certificates: a port without TLS whose connections go on to the server with one. */
async function withRelay(victim: Victim, run: (url: string) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>()
  const relay = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    void victim.dialTls().then((secure) => {
      secure.on('error', () => socket.destroy()).once('close', () => socket.destroy())
      socket.once('close', () => secure.destroy())
      socket.pipe(secure).pipe(socket)
    })
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  await run(`http://127.0.0.1:${(relay.address() as AddressInfo).port}/`) // a TCP server that listens has one
  for (const socket of sockets) socket.destroy()
  relay.close()
}

/** The two lines of h2load that count. */
function countsOf(output: string): readonly (string | undefined)[] {
  return [/^requests: (.*)$/m.exec(output)?.[1], /^status codes: (.*)$/m.exec(output)?.[1]]
}

void t.test('nghttp with a certificate: every request is refused by name, on one connection', { skip }, async (t) => {
  await withVictim(t, async (victim, url) => {
    const words = ['nghttp', '-v', '-n', `--key=${key}`, `--cert=${certificate}`, '-m', '5']
    const { code, stdout } = await command([...words, url, `${url}other`])
    t.equal(code, 0)
    t.equal(stdout.match(/recv \(stream_id=\d+\) :status: 405/g)?.length, 10)
    t.equal(stdout.match(/recv HEADERS frame <length=\d+, flags=0x05/g)?.length, 10, 'END_STREAM with the refusal')
    t.equal(victim.tunnels, 10)
    t.notMatch(stdout, /recv (GOAWAY|RST_STREAM)/)
    // What reference peers are told (Istio's sizes).
    for (const setting of [
      'INITIAL_WINDOW_SIZE(0x04):4194304',
      'MAX_FRAME_SIZE(0x05):1048576',
      'MAX_HEADER_LIST_SIZE(0x06):65536',
      'MAX_CONCURRENT_STREAMS(0x03):200',
    ])
      t.ok(stdout.includes(`[SETTINGS_${setting}]`), setting)
  })
})

void t.test('nghttp with padding, CONTINUATION, windows of one byte, no table and a body', { skip }, async (t) => {
  await withVictim(t, async (_victim, url) => {
    const base = ['nghttp', '-n', '-s', `--key=${key}`, `--cert=${certificate}`]
    for (const flags of [
      ['--padding=255'],
      ['--continuation'],
      ['-w', '0', '-W', '0'],
      ['--header-table-size=0'],
      ['--header-table-size=0', '--header-table-size=65536'],
      ['--encoder-header-table-size=0'],
      ['--no-dep', '--expect-continue', `--data=${certificate}`],
      ['-H', `x-large: ${'y'.repeat(30_000)}`],
    ]) {
      const { code, stdout, stderr } = await command([...base, ...flags, '-m', '3', url])
      const label = flags.join(' ').slice(0, 60)
      t.equal(code, 0, label)
      t.equal(stdout.match(/ 405 /g)?.length, 3, `${label}: ${stderr.slice(0, 500)}`)
    }
  })
})

void t.test('nghttp without a certificate does not come in', { skip }, async (t) => {
  await withVictim(t, async (victim, url) => {
    const { stdout } = await command(['nghttp', '-n', '-s', url])
    t.notMatch(stdout, / 405 /)
    t.equal(victim.tunnels, 0)
  })
})

void t.test('h2load without a certificate: all requests fail, none comes through', { skip }, async (t) => {
  await withVictim(t, async (victim, url) => {
    const [requests] = countsOf((await command(['h2load', '-n', '40', '-c', '4', '-m', '5', url])).stdout)
    t.match(requests, /^40 total, \d+ started, 0 done, 0 succeeded, 40 failed, 40 errored, 0 timeout$/)
    t.equal(victim.tunnels, 0)
  })
})

void t.test('h2load: thousands of refusals on a few connections, all counted, none lost', { skip }, async (t) => {
  await withVictim(t, async (victim) => {
    await withRelay(victim, async (url) => {
      const { stdout } = await command(['h2load', '-n', '4000', '-c', '4', '-m', '100', url])
      t.same(countsOf(stdout), [
        '4000 total, 4000 started, 4000 done, 0 succeeded, 4000 failed, 0 errored, 0 timeout',
        '0 2xx, 0 3xx, 4000 4xx, 0 5xx',
      ])
      t.equal(victim.tunnels, 4000)
    })
  })
})

void t.test('h2load with small windows and with more streams than are allowed', { skip }, async (t) => {
  await withVictim(t, async (victim) => {
    await withRelay(victim, async (url) => {
      for (const flags of [
        ['-w', '1', '-W', '1', '-m', '50'],
        ['-m', '1000'],
        ['--header-table-size=0', '-m', '10'],
        ['-d', certificate, '-m', '10'],
      ]) {
        const before = victim.tunnels
        const { stdout } = await command(['h2load', '-n', '600', '-c', '1', ...flags, url])
        t.equal(countsOf(stdout)[1], '0 2xx, 0 3xx, 600 4xx, 0 5xx', flags.join(' '))
        t.equal(victim.tunnels - before, 600)
      }
    })
  })
})
