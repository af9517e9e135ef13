import { fileURLToPath } from 'node:url'
import { envoyClient, envoyServer } from '../envoy/configuration.ts'
import { TestMesh, type Pod, type Program, type TestNode } from '../kit/index.ts'
import { APPLICATION_PORTS, startApplications, WEB_PORTS } from './applications.ts'
import { writeCredentials } from './baselines/credentials.ts'
import { family } from './process-usage.ts'
import type { Variant } from './variant.ts'

/** Each baseline listens on the applications' ports moved by so much. */
const OFFSET = { tcp: 1_000, http2: 2_000, envoy: 3_000 }
const PEER_PORT = { http2: 15_100, envoy: 15_101 }

/** Two nodes, a client and a server on each side of the mesh, and every way between them that is to be measured. */
export interface Stage {
  readonly mesh: TestMesh
  readonly variants: readonly Variant[]
}

/** Builds everything on `mesh`; whoever made that closes it. `envoy` is the program, where it is to be measured. */
export async function buildStage(mesh: TestMesh, envoy: string | undefined): Promise<Stage> {
  mesh.logsToFiles = true
  const a = await mesh.node('a')
  const b = await mesh.node('b')
  const outside = {
    client: await a.pod('plain-client', { protocol: 'TCP' }),
    server: await b.pod('plain-server', { protocol: 'TCP' }),
  }
  const inMesh = { client: await a.pod('client'), server: await b.pod('server') }
  for (const pod of mesh.pods) await widenPorts(pod)
  for (const place of [a, b, ...mesh.pods]) await sameCongestionControl(place)
  for (const server of [outside.server, inMesh.server]) startApplications(mesh, server)
  // A policy that is really asked: without one there is nothing to evaluate.
  mesh.policies.push({
    name: 'server-clients',
    namespace: 'default',
    scope: 'Namespace',
    action: 'Allow',
    dryRun: false,
    rules: [[[{ principals: [{ Exact: inMesh.client.identity.replace('spiffe://', '') }] }]]],
  })
  mesh.environment['LOG_FORMAT'] = 'plain'
  await mesh.up()

  const baselines = [tcp(a, outside), http2(mesh, a, b, outside)]
  if (envoy !== undefined) baselines.push(envoys(mesh, a, b, outside, envoy))
  const variants: Variant[] = [
    { name: 'direct', client: outside.client, host: outside.server.v4, port: same, proxies: () => [], nodes: 1 },
    ...baselines,
    {
      name: 'hbone',
      client: inMesh.client,
      host: inMesh.server.v4,
      port: same,
      proxies: () => [a, b].flatMap((node) => family(node.proxy.program.pid)),
      nodes: 2,
    },
  ]
  for (const { client, host, port, name } of variants) {
    const answered = await client.run([
      'curl',
      '-sS',
      '--noproxy',
      '*',
      '--retry',
      '20',
      '--retry-all-errors',
      '--retry-delay',
      '1',
      `http://${host}:${port(WEB_PORTS[0])}/`,
    ])
    if (answered.stdout !== 'ok\n')
      throw new Error(`nothing answers over ${name}: ${answered.stdout}${answered.stderr}`)
  }
  return { mesh, variants }
}

interface Ends {
  readonly client: Pod
  readonly server: Pod
}

function same(application: number): number {
  return application
}

/** New connections by the ten thousand need client ports, none of which may be a port that somebody listens on. */
async function widenPorts(pod: Pod): Promise<void> {
  await pod.must([
    'sh',
    '-c',
    'echo 16384 65535 > /proc/sys/net/ipv4/ip_local_port_range; echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse',
  ])
}

/**
 * The same congestion control on every machine. Where the default is BBR, it paces each packet by a timer, over veth and lo too,
 * and it is the timers that are measured: http2 and hbone did 1.4 and 2.0 Gbit/s, with CUBIC 1.5 and 2.7.
 */
async function sameCongestionControl(place: Pod | TestNode): Promise<void> {
  const file = '/proc/sys/net/ipv4/tcp_congestion_control'
  await place.must(['sh', '-c', `echo cubic > ${file} 2> /dev/null || echo reno > ${file}`])
}

function moved(offset: number): string[] {
  return APPLICATION_PORTS.map((port) => `${port + offset}:${port}`)
}

function tcp(a: TestNode, { client, server }: Ends): Variant {
  const words = [process.execPath, baseline('tcp'), a.v4, server.v4, ...moved(OFFSET.tcp)]
  const proxy = a.start('tcp', words)
  return proxied('tcp', client, a, [proxy])
}

function http2(mesh: TestMesh, a: TestNode, b: TestNode, { client, server }: Ends): Variant {
  const { root, chain, key } = writeCredentials(mesh.files)
  const env = { ROOT: root, CHAIN: chain, KEY: key }
  const program = [process.execPath, baseline('http2')]
  const peer = `${b.v4}:${PEER_PORT.http2}`
  return proxied('http2', client, a, [
    b.start('http2 server', [...program, 'server', b.v4, String(PEER_PORT.http2)], env),
    a.start('http2 client', [...program, 'client', a.v4, peer, server.v4, ...moved(OFFSET.http2)], env),
  ])
}

function envoys(mesh: TestMesh, a: TestNode, b: TestNode, { client, server }: Ends, program: string): Variant {
  const tls = { credentials: writeCredentials(mesh.files), curves: ['P-256'] }
  const peer = { host: b.v4, port: PEER_PORT.envoy }
  const ports = APPLICATION_PORTS.map((port) => [port + OFFSET.envoy, port] as const)
  const start = (node: TestNode, config: unknown): Program => {
    const file = mesh.files.write(`envoy-${node.name}.json`, JSON.stringify(config))
    // Two workers, as Istio's ztunnel has by default.
    const flags = ['--concurrency', '2', '--disable-hot-restart', '--log-level', 'error']
    return node.start('envoy', [program, '-c', file, ...flags])
  }
  const targets = { targetHost: server.v4, targets: APPLICATION_PORTS }
  return proxied('envoy', client, a, [
    start(b, envoyServer({ listenHost: b.v4, port: peer.port, ...targets, ...tls })),
    start(a, envoyClient({ listenHost: a.v4, peer, targetHost: server.v4, ports, ...tls })),
  ])
}

function proxied(name: keyof typeof OFFSET, client: Pod, a: TestNode, programs: readonly Program[]): Variant {
  return {
    name,
    client,
    host: a.v4,
    port: (application) => application + OFFSET[name],
    proxies: () => programs.flatMap(({ pid }) => family(pid)),
    nodes: programs.length,
  }
}

function baseline(name: string): string {
  return fileURLToPath(new URL(`baselines/${name}.ts`, import.meta.url))
}
