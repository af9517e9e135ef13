// What comes and goes: configuration, certificates, pods, a proxy that is told to end.
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startNginx, underLoad, WEB_PORT } from '../demo/programs.ts'
import {
  command,
  eventually,
  inside,
  Program,
  Talker,
  TestMesh,
  type CommandResult,
  type Pod,
  type TestNode,
} from '../kit/index.ts'
import { MeshFiles } from '../kit/mesh-files.ts'
import { ECHO_PORT, LOAD, twoNodes } from './two-nodes.ts'

t.setTimeout(120_000)

const MAIN = fileURLToPath(new URL('../../ztunnel/src/main.mjs', import.meta.url))
/** Runs a program in a network of its own: the ports of ztunnel are fixed. */
const OWN_NETWORK = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']
/** A mesh that nothing is wrong with, and no file. */
const WITHOUT_FILES = { XDS_ADDRESS: '', LOCAL_XDS: 'workloads: []' }

/** What becomes of a ztunnel whose configuration keeps it from starting. */
function startedWith(env: Readonly<Record<string, string>>, words: readonly string[] = []): Promise<CommandResult> {
  return command([process.execPath, MAIN, ...words], { env })
}

void t.test('every problem of the configuration is told at once, and the exit code is not 0', async (t) => {
  const env = {
    LOG_FORMAT: 'xml',
    TERMINATION_GRACE_PERIOD_SECONDS: 'soon',
    ZTUNNEL_WORKER_THREADS: '-3',
    IPV6_ENABLED: 'yes',
    XDS_ADDRESS: '',
  }
  const { code, stderr } = await startedWith(env)
  t.not(code, 0)
  for (const name of Object.keys(env)) if (name !== 'XDS_ADDRESS') t.match(stderr, name, `${name} is named`)
  t.notMatch(stderr, / at .*\.ts:\d+/, 'no stack trace')
})

void t.test('names that make no identity are part of that', async (t) => {
  const { code, stderr } = await startedWith({
    ...WITHOUT_FILES,
    PROXY_MODE: 'dedicated',
    PROXY_WORKLOAD_INFO: 'a,b/name/s"x',
    TRUST_DOMAIN: 'a b',
    LOG_FORMAT: 'xml',
  })
  t.equal(code, 2)
  for (const name of ['LOG_FORMAT', 'TRUST_DOMAIN', 'PROXY_WORKLOAD_INFO']) t.match(stderr, name)
})

void t.test('files, log levels and headers are part of it too', async (t) => {
  const { code, stderr } = await startedWith({
    XDS_ADDRESS: '',
    LOCAL_XDS_PATH: '/nowhere/mesh.yaml',
    LOCAL_PODS_PATH: '/nowhere/pods.yaml',
    RUST_LOG: 'loud',
    CA_HEADER_X: 'é',
    SECRET_TTL: '0',
    KEEPALIVE_TIME: '40000s',
  })
  t.equal(code, 2)
  for (const name of ['LOCAL_XDS_PATH', 'LOCAL_PODS_PATH', 'RUST_LOG', 'CA_HEADER_X', 'SECRET_TTL', 'KEEPALIVE_TIME'])
    t.match(stderr, name)
})

void t.test('a file that holds something else is part of it, as soon as it is read', async (t) => {
  const env = { XDS_ADDRESS: '', PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'a/b/c', LOCAL_XDS_PATH: MAIN }
  const words = [...OWN_NETWORK, process.execPath, MAIN]
  for (const [variable, given] of [
    ['LOCAL_XDS_PATH', env],
    ['CRL_PATH', { ...env, CRL_PATH: MAIN }],
    ['AMBIT_HOST_NETNS', { ...env, PROXY_MODE: 'shared', LOCAL_PODS_PATH: MAIN, AMBIT_HOST_NETNS: MAIN }],
  ] as const) {
    const { code, stderr } = await command(words, { env: given })
    t.equal(code, 2, variable)
    t.match(stderr, new RegExp(`- ${variable}: ${MAIN}(?:: | is )`))
  }
})

void t.test('told to end while it starts it ends well, and takes nothing on', async (t) => {
  const files = new MeshFiles()
  t.teardown(() => rmSync(files.directory, { recursive: true }))
  // So large that it is read when the signal comes: the first line is written before.
  const workloads = Array.from({ length: 20_000 }, (_, n) => ({
    uid: `${n}`,
    name: `w${n}`,
    namespace: 'default',
    workloadIps: [`10.0.${n >> 8}.${n & 255}`],
  }))
  const env = {
    XDS_ADDRESS: '',
    PROXY_MODE: 'dedicated',
    PROXY_WORKLOAD_INFO: 'a/b/c',
    LOCAL_XDS_PATH: files.write('mesh.yaml', { workloads }),
    AUTH_TOKEN: 't'.repeat(256),
  }
  const program = new Program('ztunnel', [...OWN_NETWORK, process.execPath, MAIN], { env })
  await program.says(/AUTH_TOKEN is no file/)
  program.signal('SIGTERM')
  t.equal(await program.exited, 0)
  t.match(program.output, /shutdown: SIGTERM/)
  t.notMatch(program.output, /local mesh loaded|pod captured|workload served|\tready|ztunnel:/)
})

void t.test('told to end while its code is loaded it ends well too', async (t) => {
  // Without a configuration it would end with 2 a moment later.
  const early = 'process.on("newListener", (name) => name === "SIGTERM" && queueMicrotask(() => process.emit(name)))'
  // By NODE_OPTIONS tap has the programs that it starts load what listens to signals.
  const words = ['env', '-u', 'NODE_OPTIONS', process.execPath, '--import', `data:text/javascript,${early}`, MAIN]
  const { code, stderr } = await command(words)
  t.same({ code, stderr }, { code: 0, stderr: '' })
})

void t.test('arguments that mean nothing are refused', async (t) => {
  for (const words of [['proxy', 'foo'], ['proxy', 'ztunnel', 'foo'], ['version', 'foo'], ['foo']]) {
    const { code, stderr } = await startedWith({}, words)
    t.match(
      stderr,
      /^ztunnel: unknown word "foo"\n\nusage: .*proxy.*\n.*ztunnel version.*\n.*ztunnel help.*\n$/,
      words.join(' '),
    )
    t.equal(code, 2)
  }
  t.match((await startedWith({}, ['proxy', 'ztunnel'])).stderr, /LOCAL_XDS_PATH/, 'what Istio says is taken')
  t.match((await startedWith({}, ['proxy', '--help'])).stdout, /usage: ztunnel[^]*Exit status: 0 after SIGTERM/)
})

void t.test('certificates: the CA is away at start, comes, and gives new ones under load', async (t) => {
  const mesh = await TestMesh.create()
  try {
    mesh.environment['SECRET_TTL'] = '8s'
    const { a, b, client, server } = await twoNodes(mesh)
    // Its root certificate is there from an earlier life.
    await mesh.startCa()
    await mesh.stopCa()
    for (const pod of mesh.pods) pod.isEnrolled = true
    await Promise.all([mesh.startZtunnel(a), mesh.startZtunnel(b)])

    await t.test('without a CA a proxy is ready, and connections that need it fail', async (t) => {
      t.equal(await a.proxy.get(15_021, '/healthz/ready'), 'ready\n')
      t.notOk((await client.curl(server.v4, WEB_PORT, '/', ['-m', '3'])).ok)
      const labels = { reporter: 'source', response_flags: 'IDENTITY_ERROR' }
      t.ok((await a.proxy.metric('istio_tcp_connections_failed_total', labels)) > 0, 'counted for what it is')
      await command([...inside(a.place.namespace), 'curl', '-sS', '-m', '3', `http://${server.v4}:15008/`])
      t.ok(await b.proxy.access({ direction: 'inbound', error: /^signing error: / }), 'told as Istio tells it')
      const since = Date.now()
      await mesh.startCa()
      await eventually('requests are answered', async () => (await client.curl(server.v4, WEB_PORT)).ok)
      t.comment(`answered ${Date.now() - since} ms after the CA was started`)
    })

    await t.test('certificates are renewed under load and nothing breaks', async (t) => {
      const talker = await Talker.start(client)
      talker.open('old', server.v4, ECHO_PORT)
      await talker.echoes('old', 'before')
      const before = await serialOf(b, server)
      const result = await underLoad(client, server.v4, LOAD, async () => {
        await eventually('a new certificate', async () => (await serialOf(b, server)) !== before, 100)
      })
      t.match(result, { ok: result.started, refused: 0, cut: 0, timedOut: 0 })
      t.ok(result.started > 0)
      await talker.echoes('old', 'after')
      t.pass('a connection of before goes on')
    })

    await t.test('one that has expired while the CA is away is not shown any more', async (t) => {
      await mesh.stopCa()
      await eventually(
        'both are without',
        async () => {
          const dumps = await Promise.all([a, b].map(({ proxy }) => proxy.get(15_000, '/config_dump')))
          return dumps.every((dump) => dump.includes('Unavailable: '))
        },
        100,
      )
      const before = refusals(b)
      await command([...inside(a.place.namespace), 'curl', '-sS', '-m', '3', `http://${server.v4}:15008/`])
      await eventually('a peer is refused', () => refusals(b) === before + 1)
      t.ok((await client.curl(server.v4, WEB_PORT)).ok, 'a tunnel of before goes on')
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

void t.test('readiness, pods and drain', async (t) => {
  const mesh = await TestMesh.create()
  try {
    // Long enough for what must happen before the deadline, on a busy machine too.
    mesh.environment['TERMINATION_GRACE_PERIOD_SECONDS'] = '10'
    const { a, b, client, server } = await twoNodes(mesh)
    const other = await b.pod('other')
    const talker = await Talker.start(client)
    await (await Talker.start(other)).listen(ECHO_PORT, { echo: true })
    await mesh.up()

    await t.test('SIGUSR1 opens no debugger', async (t) => {
      const told = [b.proxy.program.pid, ...(await b.proxy.workers())]
      t.ok(told.length > 1, 'control and its workers')
      for (const pid of told) process.kill(pid, 'SIGUSR1')
      t.ok((await client.curl(server.v4, WEB_PORT)).ok)
      t.equal(await b.proxy.get(15_021, '/healthz/ready'), 'ready\n')
      t.notMatch(b.proxy.program.output, /Debugger/)
    })

    await t.test('readiness is taken back while a pod cannot be captured', async (t) => {
      t.equal(await b.proxy.get(15_021, '/healthz/ready'), 'ready\n')
      const broken = {
        name: 'ghost',
        namespace: 'default',
        serviceAccount: 'ghost',
        uid: 'ghost',
        netns: '/run/netns/no-such',
      }
      mesh.files.write('pods-b.yaml', { pods: [broken, ...[server, other].map(podEntry)] })
      await eventually('not ready', async () => (await b.proxy.get(15_021, '/healthz/ready')) !== 'ready\n')
      const line = await b.proxy.access({ level: 'error', message: /pod not captured/ })
      t.equal(line['pod'], 'default/ghost')
      t.ok((await client.curl(server.v4, WEB_PORT)).ok, 'the others are served')
      mesh.save()
      await eventually('ready again', async () => (await b.proxy.get(15_021, '/healthz/ready')) === 'ready\n')
    })

    await t.test('the node cannot be named as a pod', async (t) => {
      const node = { ...podEntry(server), uid: 'node', name: 'node', netns: `/run/netns/${b.place.namespace}` }
      mesh.files.write('pods-b.yaml', { pods: [node, ...[server, other].map(podEntry)] })
      const line = await b.proxy.access({ level: 'error', message: /pod not captured/, pod: 'default/node' })
      t.match(line['error'], /the network namespace \S+ is that of the node/)
      t.ok((await client.curl(server.v4, WEB_PORT)).ok)
      mesh.save()
      await eventually('ready again', () => b.proxy.isReady())
    })

    await t.test('a pod whose name makes no identity is refused with its line, and nothing else changes', async (t) => {
      const [first, ...rest] = [server, other].map(podEntry)
      const bad = { ...first, uid: 'bad', name: 'bad name', namespace: 'a,b', serviceAccount: 's"x' }
      mesh.files.write('pods-b.yaml', { pods: [first, ...rest, bad] })
      const line = await b.proxy.access({ level: 'error', message: /last good state stays/, file: 'pods-b.yaml' })
      t.match(line['error'], /\d+:\d+ pods\[2\]\.namespace: "a,b" cannot stand in an identity/)
      t.ok(b.proxy.program.isRunning)
      t.ok((await client.curl(server.v4, WEB_PORT)).ok)
      mesh.save()
    })

    await t.test('a pod that leaves the mesh: its connections are closed at once, those of others stay', async (t) => {
      talker.open('leaves', server.v4, ECHO_PORT)
      talker.open('stays', other.v4, ECHO_PORT)
      await Promise.all(['leaves', 'stays'].map((name) => talker.echoes(name, 'hello')))
      const since = Date.now()
      server.isEnrolled = false
      mesh.save()
      await talker.heard('leaves', /^(ended|error)/)
      t.comment(`closed after ${Date.now() - since} ms`)
      await talker.echoes('stays', 'still')
      await mesh.captured()
      await eventually('it is served in plaintext now', async () => (await client.curl(server.v4, WEB_PORT)).ok)
      const line = await eventually('a plaintext line', () =>
        a.proxy.lines.find((line) => line['dst.addr'] === `${server.v4}:${WEB_PORT}` && !('dst.identity' in line)),
      )
      t.equal(line['direction'], 'outbound')
    })

    await t.test('pods come at run time: one again, one that is new', async (t) => {
      await mesh.enrol([server])
      const fresh = await b.pod('fresh')
      startNginx(mesh, fresh)
      await mesh.enrol([fresh])
      for (const pod of [server, fresh]) {
        await eventually(`${pod.name} answers`, async () => (await client.curl(pod.v4, WEB_PORT)).ok)
        const line = await b.proxy.access({
          'dst.workload': pod.name,
          direction: 'inbound',
          'dst.identity': pod.identity,
        })
        t.equal(line['src.identity'], client.identity)
      }
      await talker.echoes('stays', 'through-all-this')
    })

    await t.test('SIGTERM: open connections go on until the deadline, new ones are not taken', async (t) => {
      talker.open('lasts', server.v4, ECHO_PORT)
      await talker.echoes('lasts', 'hello')
      const { proxy } = b
      const since = Date.now()
      proxy.program.signal('SIGTERM')
      await eventually('new connections are refused', async () => !(await client.curl(server.v4, WEB_PORT)).ok)
      await talker.echoes('lasts', 'while-draining')
      t.ok(proxy.program.isRunning)
      await talker.heard('lasts', /^(ended|error)/)
      t.comment(`closed ${Date.now() - since} ms after the signal; the deadline is 9000 ms`)
      t.equal(await proxy.program.exited, 0)
      t.ok(
        proxy.lines.find(({ message }) => message.startsWith('drain duration expired')),
        'the log tells',
      )
      await mesh.startZtunnel(b)
      await mesh.captured()
      await eventually('a new one serves', async () => (await client.curl(server.v4, WEB_PORT)).ok)
    })

    await t.test('SIGINT while it drains: it ends at once, and says that it cuts what is open', async (t) => {
      talker.open('cut', server.v4, ECHO_PORT)
      await talker.echoes('cut', 'hello')
      const { proxy } = b
      proxy.program.signal('SIGTERM')
      await proxy.access({ message: /^shutdown: SIGTERM/ })
      t.ok(proxy.program.isRunning)
      proxy.program.signal('SIGINT')
      t.equal(await proxy.program.exited, 0)
      t.ok(proxy.logged({ level: 'warn', message: /^SIGINT while draining: .* cut/ }))
      t.notOk(proxy.logged({ message: /^drain duration expired/ }))
      await talker.heard('cut', /^(ended|error)/)
    })
  } finally {
    t.strictSame(await mesh.close(), [], 'everything ended well and nothing is left')
  }
})

/** Serial number of the certificate that the node has for a pod. */
async function serialOf(node: TestNode, pod: Pod): Promise<string | undefined> {
  const dump: unknown = JSON.parse(await node.proxy.get(15_000, '/config_dump'))
  const { certificates } = dump as {
    certificates: readonly { identity: string; certChain: readonly { serialNumber: string }[] }[]
  }
  return certificates.find(({ identity }) => identity === pod.identity)?.certChain[0]?.serialNumber
}

/** How many peers were refused because the node had no certificate to show them. */
function refusals({ proxy }: TestNode): number {
  return proxy.lines.filter(({ error = '' }) => String(error).startsWith('signing error: ')).length
}

/** An entry of a pods file. */
function podEntry({ name, namespace, serviceAccount, netns, uid }: Pod) {
  return { name, namespace, serviceAccount, netns, uid }
}
