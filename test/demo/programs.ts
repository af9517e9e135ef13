import { fileURLToPath } from 'node:url'
import { eventually, type Pod, type Program, type TestMesh, type TestNode } from '../kit/index.ts'

/** What the web server answers; looked for on the wire. */
export const SECRET = 'the-secret-of-the-orders'
export const WEB_PORT = 8_080
export const GREETER_PORT = 2_525
export const REDIS_PORT = 6_379

/** nginx in the foreground, all of its files in the mesh's directory. `more`: further server blocks of its configuration. */
export function startNginx(mesh: TestMesh, pod: Pod, more = ''): Program {
  const directory = mesh.files.directory
  const config = mesh.files.write(
    `nginx-${pod.name}.conf`,
    `daemon off; master_process off; pid ${directory}/nginx-${pod.name}.pid; error_log stderr warn; user root;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server {
    listen ${WEB_PORT} backlog=4096; listen [::]:${WEB_PORT} backlog=4096;
    location / { default_type text/plain; return 200 "${pod.name} says ${SECRET} to $remote_addr\\n"; }
  }
  ${more}
}
`,
  )
  return pod.start('nginx', ['nginx', '-c', config, '-p', directory])
}

/** Whom the nginx of `server` sees where `client` asks it: the address by IPv4, then by IPv6, or what came instead of one. */
export async function seenBy(server: Pod, client: Pod): Promise<readonly string[]> {
  const seen: string[] = []
  for (const address of [server.v4, server.v6]) {
    const { stdout, stderr } = await client.curl(address, WEB_PORT)
    seen.push((stdout || stderr).trim().replace(`${server.name} says ${SECRET} to `, ''))
  }
  return seen
}

export function startRedis(pod: Pod): Program {
  return pod.start('redis', [
    'redis-server',
    '--port',
    String(REDIS_PORT),
    '--bind',
    '0.0.0.0',
    '::',
    '--protected-mode',
    'no',
    '--save',
    '',
    '--appendonly',
    'no',
  ])
}

export function startGreeter(pod: Pod): Program {
  return pod.start('greeter', [process.execPath, kitProgram('speaks-first.ts'), String(GREETER_PORT), 'welcome'])
}

export type Span = readonly [beganMs: number, endedMs: number]

export interface LoadResult {
  readonly started: number
  readonly ok: number
  readonly refused: number
  /** Broken after they were established: accepted by a proxy that died. */
  readonly cut: number
  readonly timedOut: number
  readonly slowestMs: number
  /** When each that was answered began and was answered, in milliseconds since 1970. */
  readonly answered: readonly Span[]
  /** When each that was cut began and was cut. */
  readonly broken: readonly Span[]
  readonly errors: Readonly<Record<string, number>>
}

/** New connections to the web server at a steady pace while something happens, for these seconds at least. */
export async function underLoad(
  pod: Pod,
  host: string,
  { perSecond, seconds }: { perSecond: number; seconds: number },
  happens: () => Promise<void>,
): Promise<LoadResult> {
  const words = [process.execPath, kitProgram('load.ts'), host, String(WEB_PORT), String(perSecond)]
  const load = pod.start('load', words)
  try {
    await Promise.all([happens(), pause(seconds * 1_000)])
  } finally {
    load.endInput()
    await load.exited
  }
  const result: unknown = JSON.parse(load.output.split('\n').find((line) => line.startsWith('{')) ?? '{}')
  if (typeof result !== 'object' || result === null || !('ok' in result))
    throw new Error(`the load program failed: ${load.output}`)
  return result as LoadResult
}

/** SIGKILL of a data worker after each of these pauses, each time of another one. Answers when, in milliseconds since 1970. */
export async function killWorkers(node: TestNode, pausesMs: readonly number[]): Promise<readonly number[]> {
  const killed = new Map<number, number>()
  for (const pauseMs of pausesMs) {
    await pause(pauseMs)
    const worker = await eventually(`node ${node.name} has a data worker`, async () => {
      return (await node.proxy.workers()).find((pid) => !killed.has(pid))
    })
    killed.set(worker, Date.now())
    process.kill(worker, 'SIGKILL')
  }
  return [...killed.values()]
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}

function kitProgram(name: string): string {
  return fileURLToPath(new URL(`../kit/programs/${name}`, import.meta.url))
}
