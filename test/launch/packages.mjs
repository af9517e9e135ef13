import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PNPM } from './pnpm.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const STAMP = join(ROOT, 'node_modules', '.ambit-installed')
const OLDEST_NODE = 24

/** Installs the packages of the lockfile, unless that was done already. */
export async function ensurePackages() {
  const wanted = fingerprint()
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === wanted) return
  process.stderr.write('ambit: installing packages (once; about 20 s)\n')
  const { status } = spawnSync('npx', ['--yes', PNPM, 'install', '--frozen-lockfile'], {
    cwd: ROOT,
    // Progress belongs on standard error: the output of the command must stay clean.
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0)
    throw new Error(`the packages could not be installed; try: npx --yes ${PNPM} install --frozen-lockfile`)
  mkdirSync(join(ROOT, 'node_modules'), { recursive: true })
  writeFileSync(STAMP, wanted)
}

/** The Node that runs the project: the pinned one, or this one where it is new enough. */
export function projectNode() {
  const pinned = join(ROOT, 'node_modules', '.bin', 'node')
  if (existsSync(pinned) && spawnSync(pinned, ['--version']).status === 0) return pinned
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath
  throw new Error(
    `no Node of our own for this platform: install Node ${OLDEST_NODE} or newer (this is ${process.version})`,
  )
}

function fingerprint() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`)
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json'])
    hash.update(readFileSync(join(ROOT, file)))
  return hash.digest('hex')
}
