import { existsSync, readdirSync } from 'node:fs'
import { eventually, patienceMs } from './eventually.ts'
import { isRunning, type ProcessMark } from './processes.ts'
import { NETNS_DIRECTORY } from './topology.ts'

/** Waits for the end of these processes. What does not end is killed; answers a sentence for each. */
export async function outlasting(processes: () => readonly ProcessMark[]): Promise<readonly string[]> {
  const running = (): readonly ProcessMark[] => processes().filter(isRunning)
  try {
    await eventually('every process has ended', () => running().length === 0)
    return []
  } catch {
    return running().map(({ pid, command }) => {
      kill(pid)
      return `process ${pid} was left: ${command.slice(0, 200)}`
    })
  }
}

/** Kills these processes, and waits for those that end by themselves then. Nothing else of this program goes on meanwhile. */
export function killAll(these: () => readonly ProcessMark[], others: () => readonly ProcessMark[]): void {
  const until = Date.now() + patienceMs
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let left = these(); left.length + others().length > 0 && Date.now() < until; left = these()) {
    for (const { pid } of left) kill(pid)
    Atomics.wait(pause, 0, 0, 25)
  }
}

/** Names of network namespaces that begin so. */
export function namespacesOf(prefix: string): readonly string[] {
  return existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY).filter((name) => name.startsWith(prefix)) : []
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended at last.
  }
}
