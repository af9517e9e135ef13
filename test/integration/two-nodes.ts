import { startNginx, WEB_PORT } from '../demo/programs.ts'
import { eventually, Talker, type Pod, type TestMesh, type TestNode } from '../kit/index.ts'

export const ECHO_PORT = 9_000
/** New connections while something happens: long enough for two workers to die and come back. */
export const LOAD = { perSecond: 100, seconds: 3 }

export interface Cast {
  readonly a: TestNode
  readonly b: TestNode
  readonly client: Pod
  readonly server: Pod
}

/** A client on one node, nginx and an echo server in a pod of the other. */
export async function twoNodes(mesh: TestMesh): Promise<Cast> {
  const a = await mesh.node('a')
  const b = await mesh.node('b')
  const client = await a.pod('client')
  const server = await b.pod('server')
  const nginx = startNginx(mesh, server)
  await (await Talker.start(server)).listen(ECHO_PORT, { echo: true })
  await eventually('nginx answers', async () => (await server.curl('127.0.0.1', WEB_PORT)).ok || !nginx.isRunning)
  return { a, b, client, server }
}
