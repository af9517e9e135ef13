// A test file that leaves a timer, a socket, a listener or an open file fails.
import { createHook } from 'node:async_hooks'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { t } from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** With no test running for so long, whatever keeps the process alive was forgotten. No test file pauses between its tests. */
const IDLE_S = 20
/** What Node itself opens and keeps. */
const OF_NODE = /^(?:anon_inode:|pipe:|\/dev\/|\/proc\/)/
/** The way back for threads that enter other namespaces; ztunnel opens it once. */
const HOME = existsSync('/proc/self/ns/net') ? readlinkSync('/proc/self/ns/net') : undefined

const atStart = new Set(descriptors())

let idleS = 0
setInterval(() => {
  idleS = t.idle ? idleS + 1 : 0
  if (idleS < IDLE_S) return
  fail([`kept alive by: ${[...new Set(process.getActiveResourcesInfo())].join(', ')}`])
  process.exit(1)
}, 1_000).unref()

/** Timers that are neither cleared nor due, also those that let the process end: where each was made. */
const timers = new Map<number, string>()
createHook({
  init(id, type) {
    if (type !== 'Timeout') return
    // Under this function and Node's own.
    const at = new Error().stack
      ?.split('\n')
      .slice(2)
      .find((line) => !line.includes('node:'))
    if (at?.includes(ROOT) && !at.includes('/node_modules/')) timers.set(id, at.trim())
  },
  destroy: (id) => void timers.delete(id),
  trackPromises: false,
}).enable()

process.on('exit', () => {
  const open = descriptors().filter((descriptor) => !atStart.has(descriptor))
  fail([...open.map((descriptor) => `open: ${descriptor}`), ...[...timers.values()].map((at) => `a timer ${at}`)])
})

function fail(left: readonly string[]): void {
  if (left.length === 0) return
  process.stderr.write(`left behind by ${process.argv[1]}:\n${left.map((line) => `  ${line}\n`).join('')}`)
  process.exitCode = 1
}

/** Descriptors of this process as `number → what`, without those of Node itself; none where the system does not tell. */
function descriptors(): readonly string[] {
  if (!existsSync('/proc/self/fd')) return []
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const what = readlinkSync(`/proc/self/fd/${fd}`)
      return OF_NODE.test(what) || what === HOME ? [] : [`${fd} → ${what}`]
    } catch {
      // That of the directory that was read just now.
      return []
    }
  })
}
