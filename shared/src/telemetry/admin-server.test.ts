import { X509Certificate } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { authority, CLIENT, SERVER, workload } from '../certificates/certificate-fixture.ts'
import type { FakeClock } from '../clock/index.ts'
import { ask, brief, endpointKit, parse, PLAIN, raw } from './http-fixture.ts'
import { assembleConfigDump, LogLevels, serveAdmin, type AdminOptions, type ConfigDumpParts } from './index.ts'

interface Kit {
  readonly port: number
  readonly clock: FakeClock
  readonly levels: LogLevels
  /** What onLevels and shutdown were called with, in order. */
  readonly calls: string[]
}

async function kit(t: Test, over: Partial<AdminOptions> = {}): Promise<Kit> {
  const { clock, open, options } = endpointKit(t)
  const levels = new LogLevels('info')
  const calls: string[] = []
  const port = await open(
    serveAdmin({
      ...options,
      program: 'ztunnel',
      levels,
      targets: ['access', 'ztunnel::proxy'],
      onLevels: () => void calls.push(levels.toString()),
      configDump: () => ({}),
      shutdown: () => void calls.push('shutdown'),
      ...over,
    }),
  )
  return { port, clock, levels, calls }
}

void t.test('the page names what there is; anything else is not found', async (t) => {
  const { port } = await kit(t)
  const page = await ask(port, 'GET', '/')
  t.same([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8'])
  for (const name of [
    'ztunnel',
    'config_dump',
    '/logging',
    '/quitquitquit',
    'debug/pprof/profile',
    'debug/pprof/heap',
  ]) {
    t.match(String(page.body), name)
  }
  for (const path of ['/x', '/config_dump/', '/logging/', '/debug/pprof', '/..', '/__proto__']) {
    t.same(brief(await ask(port, 'GET', path)), [404, PLAIN, 'not found\n'], path)
  }
})

void t.test("log levels change as with Istio's ztunnel", async (t) => {
  const { port, calls } = await kit(t)
  const steps = [
    ['', 'info'],
    ['?level=error', 'error'],
    ['?level=access=debug,info', 'access=debug,info'],
    ['?level=access%3Dwarn', 'access=warn,info'],
    ['?reset', 'info'],
    ['?level=off', 'off'],
    ['?reset&level=access=debug', 'access=debug,info'],
    ['?level=ztunnel::proxy=TRACE&reset=', 'ztunnel::proxy=trace,info'],
  ] as const
  for (const [query, now] of steps) {
    t.same(brief(await ask(port, 'POST', `/logging${query}`)), [200, PLAIN, `current log level is ${now}\n`], query)
  }
  t.same(
    calls,
    steps.map(([, now]) => now),
    'every change is passed on',
  )
})

void t.test('a level for what nothing logs as is taken, as any target is, and said to mean nothing', async (t) => {
  const { port } = await kit(t)
  for (const known of ['access', 'ztunnel', 'ztunnel::proxy'])
    t.notMatch((await ask(port, 'POST', `/logging?reset&level=${known}=debug`)).body, 'note', known)
  t.same(brief(await ask(port, 'POST', '/logging?reset&level=acess=debug,ztunnel::proxy::x=warn')), [
    200,
    PLAIN,
    'current log level is ztunnel::proxy::x=warn,acess=debug,info\n' +
      'note: nothing logs as acess, ztunnel::proxy::x; targets are access, ztunnel::proxy\n',
  ])
})

void t.test('a level that cannot be read changes nothing and is answered with help', async (t) => {
  const { port, levels } = await kit(t)
  levels.add('warn')
  for (const bad of ['loud', '', 'access', 'access=', 'debug,', 'a=info,loud', '%00', 'x'.repeat(5000)]) {
    const [status, type, body] = brief(await ask(port, 'POST', `/logging?level=${bad}`))
    t.same([status, type], [400, PLAIN])
    t.match(body, /^Invalid level provided: [^]*\nusage:\n {2}POST \/logging /, bad.slice(0, 20))
    t.equal(levels.toString(), 'warn')
  }
  t.equal((await ask(port, 'POST', '/logging?reset&level=loud')).status, 400)
  t.equal(levels.toString(), 'info', 'a reset beside it holds')
})

void t.test('a parameter that there is not changes nothing and is named', async (t) => {
  const { port, levels, calls } = await kit(t)
  levels.add('warn')
  for (const [query, name] of [
    ['lvl=debug', '"lvl"'],
    ['level=debug&lvl=debug', '"lvl"'],
    ['reset&Level=debug', '"Level"'],
    ['debug', '"debug"'],
    ['%0a=1', String.raw`"\\n"`],
  ] as const) {
    const [status, type, body] = brief(await ask(port, 'POST', `/logging?${query}`))
    t.same([status, type], [400, PLAIN], query)
    t.match(body, new RegExp(`^unknown parameter ${name}; there are level and reset\nusage:`), query)
  }
  t.equal(levels.toString(), 'warn')
  t.same(calls, [])
})

void t.test('what changes something is POST only, and not from a web page', async (t) => {
  const { port, calls } = await kit(t)
  for (const path of ['/logging?level=off', '/quitquitquit']) {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await ask(port, method, path)
      t.equal(answer.status, 405, `${method} ${path}`)
      t.equal(answer.headers.get('allow'), 'POST')
      t.match(String(answer.body), /^method not allowed\nusage:/)
    }
    t.equal((await ask(port, 'POST', path, 'origin: http://evil.test')).status, 403)
    t.equal((await ask(port, 'POST', path, 'origin: null')).status, 403)
  }
  t.same(calls, [])
  t.same(brief(await ask(port, 'POST', '/quitquitquit')), [200, PLAIN, 'shutdown now\n'])
  t.same(calls, ['shutdown'])
})

void t.test('nothing is done for a web page, be it that it only asks', async (t) => {
  const { port, calls } = await kit(t)
  const acting = '/debug/pprof/heap/profiling?activate=true'
  for (const path of ['/', '/config_dump', '/debug/pprof/profile', '/debug/pprof/heap', acting]) {
    for (const header of [
      'origin: http://evil.test',
      'origin: null',
      'sec-fetch-site: cross-site',
      'sec-fetch-site: same-site',
      'sec-fetch-site: x',
    ])
      t.same(brief(await ask(port, 'GET', path, header)), [403, PLAIN, 'not from a web page\n'], `${path} ${header}`)
  }
  t.equal((await ask(port, 'GET', '/debug/pprof/heap')).status, 409, 'heap profiling is still off')
  for (const site of ['none', 'same-origin'])
    t.equal((await ask(port, 'GET', '/config_dump', `sec-fetch-site: ${site}`)).status, 200, site)
  t.same(calls, [])
})

void t.test('nothing is shown under another name than this machine’s own (DNS rebinding)', async (t) => {
  const { port, calls } = await kit(t)
  for (const path of ['/', '/config_dump', '/quitquitquit']) {
    for (const host of ['evil.test', 'evil.test:15000', 'localhost.evil.test', '127.0.0.1.nip.io', '[::2]', '10.0.0.1'])
      t.equal(
        parse(await raw(port, `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)).status,
        403,
        host,
      )
  }
  for (const host of ['localhost', 'LOCALHOST:15000', '127.0.0.1:1', '[::1]:15000'])
    t.equal(parse(await raw(port, `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)).status, 200, host)
  t.equal(parse(await raw(port, 'GET / HTTP/1.0\r\n\r\n')).status, 200, 'HTTP/1.0 names nobody')
  t.same(calls, [])
})

/** A dump with these certificates and nothing else. */
function dumpParts(certificates: ConfigDumpParts['certificates']): ConfigDumpParts {
  return {
    certificates,
    config: { clusterId: 'c' },
    policies: [],
    services: [{ name: 's' }],
    stagedServices: {},
    staticConfig: { workloads: [], policies: [], services: [] },
    version: { version: '1' },
    workloads: [{ uid: 'w' }],
  }
}

void t.test('the dump is pretty JSON in the shape that istioctl reads, made anew for who asks later', async (t) => {
  let dumps = 0
  const { port } = await kit(t, { configDump: async () => ({ dump: ++dumps }) })
  t.same(brief(await ask(port, 'GET', '/config_dump')), [200, 'application/json', '{\n  "dump": 1\n}\n'])
  t.same(brief(await ask(port, 'POST', '/config_dump')), [200, 'application/json', '{\n  "dump": 2\n}\n'])
  const parts = dumpParts([])
  const keys = [
    'certificates',
    'config',
    'policies',
    'services',
    'stagedServices',
    'staticConfig',
    'version',
    'workloads',
  ]
  t.same(Object.keys(assembleConfigDump(parts)), keys)
  t.same(Object.keys(assembleConfigDump({ ...parts, workloadState: {} })), [...keys, 'workloadState'])
  t.same(assembleConfigDump(parts), { ...parts })
})

/** Asks for a dump, and reads no more than its beginning. */
async function begin(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /config_dump HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await new Promise<void>((resolve) => {
    socket.once('readable', resolve)
  })
  return socket
}

void t.test('who asks while a dump is being made gets the same', async (t) => {
  let dumps = 0
  const made = Promise.withResolvers<void>()
  const configDump = async (): Promise<unknown> => {
    dumps++
    await made.promise
    return { dump: dumps }
  }
  const { port } = await kit(t, { configDump })
  const answers = Array.from({ length: 10 }, () => ask(port, 'GET', '/config_dump'))
  // Asked last, so the others have been heard when it is answered.
  t.equal((await ask(port, 'GET', '/')).status, 200)
  made.resolve()
  for (const { body } of await Promise.all(answers)) t.equal(body.toString(), '{\n  "dump": 1\n}\n')
  t.equal(dumps, 1)
})

void t.test('while two dumps are sent to slow clients no third is made, and nobody waits', async (t) => {
  let dumps = 0
  const filler = 'x'.repeat(32 * 1024 * 1024)
  const { port } = await kit(t, { configDump: () => ({ dump: ++dumps, filler }) })
  const dumpOf = async (): Promise<string | undefined> =>
    (await ask(port, 'GET', '/config_dump')).body.toString('latin1', 0, 40).match(/"dump": (\d+)/)?.[1]
  const slow = await begin(port)
  const slower = await begin(port)
  t.equal(dumps, 2)
  t.equal(await dumpOf(), '2')
  t.equal(await dumpOf(), '2')
  slow.destroy()
  while ((await dumpOf()) !== '3');
  slower.destroy()
  t.equal(dumps, 3)
})

void t.test('a dump that fails is a 500 with its text', async (t) => {
  const { port } = await kit(t, { configDump: () => Promise.reject(new Error('the mesh is gone')) })
  t.same(brief(await ask(port, 'GET', '/config_dump')), [500, PLAIN, 'the mesh is gone\n'])
})

/** How the dump tells a certificate. */
function told(pem: string): unknown {
  const { serialNumber, validFromDate, validToDate } = new X509Certificate(pem)
  return {
    pem: Buffer.from(pem).toString('base64'),
    serialNumber: BigInt(`0x${serialNumber}`).toString(),
    validFrom: validFromDate.toISOString().replace('.000', ''),
    expirationTime: validToDate.toISOString().replace('.000', ''),
  }
}

void t.test('certificates are told by identity, with their chain and roots and without a key', async (t) => {
  const root = authority('root')
  const own = workload(authority('intermediate', { under: root }), CLIENT)
  const dump = assembleConfigDump(
    dumpParts([
      { identity: SERVER, state: 'Unavailable: the CA is down' },
      { identity: CLIENT, state: 'Available', certificate: own },
    ]),
  )
  t.equal(own.chainPem.length, 2)
  t.same(dump['certificates'], [
    { identity: CLIENT.toString(), state: 'Available', certChain: own.chainPem.map(told), rootCerts: [told(root.pem)] },
    { identity: SERVER.toString(), state: 'Unavailable: the CA is down', certChain: [], rootCerts: [] },
  ])
  t.match(dump['certificates'], [{ certChain: [{ serialNumber: own.serialNumber }] }])
  const { port } = await kit(t, { configDump: () => dump })
  const text = String((await ask(port, 'GET', '/config_dump')).body)
  const [, key = ''] = own.privateKeyPem.split('\n')
  t.ok(key.length > 30)
  const decoded = text.replaceAll(/"pem": "([^"]*)"/g, (_, pem: string) => Buffer.from(pem, 'base64').toString())
  t.match(decoded, '-----BEGIN CERTIFICATE-----')
  for (const secret of ['PRIVATE', key]) t.notMatch(decoded, secret)
})

/** Asks for a profile of one second and lets it pass. */
async function profile({ port, clock }: Kit, query = ''): ReturnType<typeof ask> {
  const answer = ask(port, 'GET', `/debug/pprof/profile?seconds=1${query}`)
  while (clock.pendingTimers === 0) await clock.advance(0)
  await clock.advance(1000)
  return answer
}

void t.test('a CPU profile is taken for as long as asked', async (t) => {
  const all = await kit(t)
  const answer = await profile(all, '&frequency=1000')
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('content-type'), 'application/json')
  t.equal(answer.headers.get('content-disposition'), 'attachment; filename="profile.cpuprofile"')
  const parsed: unknown = JSON.parse(String(answer.body))
  t.match(parsed, { nodes: Array, startTime: Number, endTime: Number })
  for (const query of ['seconds=0', 'seconds=301', 'seconds=1.5', 'seconds=', 'seconds=-1', 'seconds=1e2']) {
    t.same(
      brief(await ask(all.port, 'GET', `/debug/pprof/profile?${query}`)),
      [400, PLAIN, 'seconds must be a whole number from 1 to 300\n'],
      query,
    )
  }
  for (const query of ['frequency=0', 'frequency=1001', 'frequency=x']) {
    t.equal((await ask(all.port, 'GET', `/debug/pprof/profile?${query}`)).status, 400, query)
  }
})

void t.test('one CPU profile at a time; a client that leaves ends its own', async (t) => {
  const all = await kit(t)
  const socket = connect(all.port, '127.0.0.1').on('error', () => {})
  socket.write('GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nhost: localhost\r\n\r\n')
  while (all.clock.pendingTimers === 0) await all.clock.advance(0)
  const second = await ask(all.port, 'GET', '/debug/pprof/profile')
  t.same(brief(second), [409, PLAIN, 'a CPU profile is being taken; try again when it has ended\n'])
  socket.destroy()
  while (all.clock.pendingTimers > 0) await all.clock.advance(0)
  t.equal((await profile(all)).status, 200)
})

void t.test('a heap profile is told while it is sampled', async (t) => {
  const { port } = await kit(t)
  const off = 'heap profiling is off; ask for /debug/pprof/heap/profiling?activate=true first\n'
  t.same(brief(await ask(port, 'GET', '/debug/pprof/heap')), [409, PLAIN, off])
  const change = async (query: string): Promise<readonly unknown[]> =>
    brief(await ask(port, 'GET', `/debug/pprof/heap/profiling${query}`))
  for (const query of ['', '?activate', '?activate=1', '?activate=TRUE']) {
    t.same(await change(query), [400, PLAIN, 'activate must be true or false\n'])
  }
  const on = [200, PLAIN, 'heap profiling is on\n']
  t.same(await Promise.all([change('?activate=true'), change('?activate=true')]), [on, on])
  const answer = await ask(port, 'GET', '/debug/pprof/heap')
  t.same([answer.status, answer.headers.get('content-disposition')], [200, 'attachment; filename="heap.heapprofile"'])
  const parsed: unknown = JSON.parse(String(answer.body))
  t.match(parsed, { head: { children: Array } })
  t.same(await change('?activate=false'), [200, PLAIN, 'heap profiling is off\n'])
  t.same(await change('?activate=false'), [200, PLAIN, 'heap profiling is off\n'])
  t.same(brief(await ask(port, 'GET', '/debug/pprof/heap')), [409, PLAIN, off])
})
