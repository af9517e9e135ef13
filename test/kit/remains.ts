import { existsSync, readdirSync } from 'node:fs'
import { eventually } from './eventually.ts'
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
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended at last.
      }
      return `process ${pid} was left: ${command.slice(0, 200)}`
    })
  }
}

/** Names of network namespaces that begin so. */
export function namespacesOf(prefix: string): readonly string[] {
  return existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY).filter((name) => name.startsWith(prefix)) : []
}
