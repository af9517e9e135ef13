import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { run } from './run.mjs'

const LAUNCHER = fileURLToPath(new URL('../launch.mjs', import.meta.url))
// The user stays who it is, with every capability: tcpdump, seeing root, would change its groups, which no such namespace allows.
const UNSHARE = ['--user', '--map-current-user', '--keep-caps', '--net', '--mount']

/**
 * Without root: runs the launcher again with all capabilities in a user namespace, with a network of its own and an empty /run for the
 * names of further namespaces. Answers its exit code, or undefined where the kernel does not allow it.
 */
export async function enterUserNamespace(words) {
  if (spawnSync('unshare', [...UNSHARE, 'true'], { stdio: 'ignore' }).status !== 0) return undefined
  process.stderr.write('ambit: no root here, working in a user namespace\n')
  process.env.AMBIT_IN_USER_NAMESPACE = '1'
  const script = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
  return run('unshare', [...UNSHARE, 'sh', '-c', script, 'sh', process.execPath, LAUNCHER, ...words])
}
