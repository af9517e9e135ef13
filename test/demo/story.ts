import type { Capture, Pod, TestMesh, TestNode } from '../kit/index.ts'
import { eventually, inNetworks } from '../kit/index.ts'
import type { Checks } from './checks.ts'
import {
  GREETER_PORT,
  killWorkers,
  REDIS_PORT,
  SECRET,
  startGreeter,
  startNginx,
  startRedis,
  underLoad,
  WEB_PORT,
} from './programs.ts'
import { recovery } from './recovery.ts'

/** Everyone in the demo: an order service and its clients on two nodes. */
export interface Cast {
  readonly a: TestNode
  readonly b: TestNode
  /** Node a: may talk to `orders`. */
  readonly shop: Pod
  /** Node a: may not. */
  readonly intruder: Pod
  /** Node b: nginx, and a server that speaks first. */
  readonly orders: Pod
  /** Node b: redis. */
  readonly store: Pod
}

/** Certificates are renewed at half of this life. */
const CERTIFICATE_LIFE = '16s'
const LOAD = { perSecond: 150, seconds: 3 }

/** Two nodes, four pods with real programs, no mesh yet. */
export async function assemble(mesh: TestMesh): Promise<Cast> {
  mesh.environment['SECRET_TTL'] = CERTIFICATE_LIFE
  mesh.environment['TERMINATION_GRACE_PERIOD_SECONDS'] = '4'
  const a = await mesh.node('a')
  const b = await mesh.node('b')
  const shop = await a.pod('shop')
  const intruder = await a.pod('intruder')
  const orders = await b.pod('orders')
  const store = await b.pod('store')
  const nginx = startNginx(mesh, orders)
  await startGreeter(orders).says(/listening/)
  await startRedis(store).says(/eady to accept/)
  await eventually('nginx answers', async () => (await orders.curl('127.0.0.1', WEB_PORT)).ok || !nginx.isRunning)
  return { a, b, shop, intruder, orders, store }
}

/** The whole story; each step builds on the one before. */
export async function tell(mesh: TestMesh, cast: Cast, checks: Checks): Promise<void> {
  await beforeTheMesh(mesh, cast, checks)
  await mesh.startCa()
  await Promise.all([mesh.startZtunnel(cast.a), mesh.startZtunnel(cast.b)])
  await enrolment(mesh, cast, checks)
  await policy(mesh, cast, checks)
  await rotation(cast, checks)
  await killedWorker(cast, checks)
  await replacedZtunnel(mesh, cast, checks)
}

async function beforeTheMesh(mesh: TestMesh, { b, shop, orders }: Cast, checks: Checks): Promise<void> {
  await checks.make('without the mesh: traffic is direct and in the clear', async () => {
    const capture = await mesh.capture(b)
    const answer = await shop.curl(orders.v4, WEB_PORT)
    await eventually('the answer is captured', () => capture.contains(SECRET))
    await settled(capture)
    const seen = capture.excerpt(`orders says`)
    return { ok: answer.ok && capture.contains(SECRET), observed: `on the wire: "${seen}"` }
  })
}

async function enrolment(mesh: TestMesh, { a, b, shop, intruder, orders, store }: Cast, checks: Checks): Promise<void> {
  await checks.make('enrolment while everything runs', async () => {
    const pods = [shop, intruder, orders, store]
    const running = (): readonly string[] =>
      inNetworks(pods.map(({ netns }) => netns)).map(({ pid, startTime }) => `${pid} started ${startTime}`)
    const before = running()
    await mesh.enrol(pods)
    const after = running()
    const kept = before.filter((one) => after.includes(one))
    return {
      ok: before.length > 0 && kept.length === before.length && after.length === before.length,
      observed: `${pods.length} pods of 2 nodes captured; ${kept.length} of ${before.length} processes in them run on, ${after.length - kept.length} new`,
    }
  })
  await checks.make('the same request now goes over HBONE', async () => {
    const capture = await mesh.capture(b)
    const answer = await shop.curl(orders.v4, WEB_PORT)
    await eventually('the tunnel is captured', async () => (await capture.packets('port 15008')) > 0)
    await settled(capture)
    const tunnel = await capture.packets('port 15008')
    const plain = await capture.packets(`port ${WEB_PORT}`)
    const ok = answer.stdout.includes(SECRET) && tunnel > 0 && plain === 0 && !capture.contains(SECRET)
    return {
      ok,
      observed: `wire: ${tunnel} packets on 15008, ${plain} on ${WEB_PORT}, payload visible: ${capture.contains(SECRET) ? 'yes' : 'no'}`,
    }
  })
  await checks.make('the application sees the address of the client', async () => {
    const answer = await shop.curl(orders.v4, WEB_PORT)
    return { ok: answer.stdout.includes(`to ${shop.v4}`), observed: answer.stdout.trim() || answer.stderr.trim() }
  })
  await checks.make('who talked to whom', async () => {
    const line = await b.proxy.access({
      message: 'connection complete',
      direction: 'inbound',
      'dst.workload': 'orders',
    })
    return {
      ok: line['src.identity'] === shop.identity && line['dst.identity'] === orders.identity,
      observed: `${String(line['src.identity'])} → ${String(line['dst.identity'])}`,
    }
  })
  await checks.make('IPv6', async () => {
    const answer = await shop.curl(orders.v6, WEB_PORT)
    if (!answer.ok) return { ok: false, observed: answer.stderr.trim() }
    const line = await a.proxy.access({ direction: 'outbound', 'dst.hbone_addr': `[${orders.v6}]:${WEB_PORT}` })
    return {
      ok: answer.stdout.includes(SECRET) && line['dst.addr'] === `[${orders.v6}]:15008`,
      observed: `${answer.stdout.trim()}, over ${String(line['dst.addr'])}`,
    }
  })
  await checks.make('a server that speaks first', async () => {
    const { stdout, stderr } = await shop.run([
      process.execPath,
      '-e',
      `require('net').connect(${GREETER_PORT}, '${orders.v4}').on('error', (e) => console.error(e.message)).pipe(process.stdout)`,
    ])
    return { ok: stdout.startsWith('welcome'), observed: stdout.trim() || stderr.trim() }
  })
  await checks.make('redis-cli and redis-server', async () => {
    const redis = ['redis-cli', '-h', store.v4, '-p', String(REDIS_PORT)]
    await shop.must([...redis, 'set', 'order', '42'])
    const value = (await shop.must([...redis, 'get', 'order'])).trim()
    const line = await a.proxy.access({ message: 'connection complete', 'dst.workload': 'store' })
    return { ok: value === '42', observed: `get order → ${value}, to ${String(line['dst.identity'])}` }
  })
}

async function policy(mesh: TestMesh, { b, shop, intruder, orders }: Cast, checks: Checks): Promise<void> {
  await checks.make('an L4 policy lets one client in and refuses another', async () => {
    const principals = [{ Exact: shop.identity.replace('spiffe://', '') }]
    mesh.policies.push({
      name: 'orders-clients',
      namespace: 'default',
      scope: 'WorkloadSelector',
      action: 'Allow',
      dryRun: false,
      rules: [[[{ principals }]]],
    })
    orders.record['authorizationPolicies'] = ['default/orders-clients']
    mesh.save()
    const refusal = { 'src.workload': 'intruder', error: /policy rejection/ }
    const line = await eventually('the policy is in force', async () => {
      const { ok } = await intruder.curl(orders.v4, WEB_PORT)
      return ok ? undefined : b.proxy.logged(refusal)
    })
    const allowed = await shop.curl(orders.v4, WEB_PORT)
    return { ok: allowed.ok, observed: `shop: allowed; intruder: ${String(line['error'])}` }
  })
}

async function rotation({ b, shop, orders }: Cast, checks: Checks): Promise<void> {
  await checks.make('certificates are rotated without a break', async () => {
    const before = await serialOf(b, orders)
    let requests = 0
    const after = await eventually(
      'a new certificate',
      async () => {
        const answer = await shop.curl(orders.v4, WEB_PORT)
        if (!answer.ok) throw new Error(`a request failed: ${answer.stderr}`)
        requests++
        const serial = await serialOf(b, orders)
        return serial === before ? undefined : serial
      },
      200,
    )
    return {
      ok: after !== before,
      observed: `serial …${before.slice(-8)} → …${after.slice(-8)}, ${requests} requests meanwhile, 0 failed`,
    }
  })
}

async function killedWorker({ a, b, shop, orders }: Cast, checks: Checks): Promise<void> {
  for (const node of [b, a]) {
    await checks.make(`SIGKILL of the data worker of node ${node.name}, twice, under load`, async () => {
      let kills: readonly number[] = []
      const result = await underLoad(shop, orders.v4, LOAD, async () => {
        kills = await killWorkers(node, [800, 1_500])
      })
      return recovery(result, kills)
    })
  }
}

async function replacedZtunnel(mesh: TestMesh, { b, shop, orders }: Cast, checks: Checks): Promise<void> {
  await checks.make('ztunnel of node b replaced under load', async () => {
    const old = b.proxy
    const result = await underLoad(shop, orders.v4, LOAD, async () => {
      await pause(500)
      // The successor shares the pods' ports; the node's own ports are free once the old one has gone, as with a DaemonSet's surge
      // of host ports, so it gets a place of its own.
      await mesh.replaceZtunnel(b)
    })
    const code = await old.program.exited
    const failed = result.started - result.ok
    return {
      ok: failed === 0 && code === 0,
      observed: `${result.started} connections, ${failed} failed, old ztunnel ended with ${code ?? 'a signal'}`,
    }
  })
}

/** Serial number of the certificate that the node has for a pod, from /config_dump. */
async function serialOf(node: TestNode, pod: Pod): Promise<string> {
  const dump: unknown = JSON.parse(await node.proxy.get(15_000, '/config_dump'))
  const { certificates } = dump as {
    certificates: readonly { identity: string; certChain: readonly { serialNumber: string }[] }[]
  }
  const serial = certificates.find(({ identity }) => identity === pod.identity)?.certChain[0]?.serialNumber
  if (serial === undefined) throw new Error(`node ${node.name} has no certificate of ${pod.identity}`)
  return serial
}

/** The last packets of a connection may still be on their way into the capture. */
async function settled(capture: Capture): Promise<void> {
  await pause(300)
  await capture.stop()
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
