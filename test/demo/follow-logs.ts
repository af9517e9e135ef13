import type { AccessLine, TestMesh } from '../kit/index.ts'

const INTERVAL_MS = 500

/** Tells what the ztunnels say from now on that is `worthTelling`. Returns what ends it. */
export function followLogs(mesh: TestMesh, tell: (line: string) => void): () => void {
  const timers = [...mesh.nodes.values()].map((node) => {
    let told = node.proxy.lines.length
    const isTold = worthTelling()
    return setInterval(() => {
      const { lines } = node.proxy
      for (const line of lines.slice(told)) if (isTold(line)) tell(`node ${node.name}: ${shown(line)}`)
      told = lines.length
    }, INTERVAL_MS)
  })
  return () => {
    for (const timer of timers) clearInterval(timer)
  }
}

/** Much as LOG_FORMAT=plain has it, without the time: it is told as it is said. */
function shown({ level, scope, message, ...rest }: AccessLine): string {
  const fields = Object.entries(rest).filter(([key]) => key !== 'time')
  const words = fields.map(([key, value]) => {
    const text = String(value)
    return `${key}=${/^[\w.:/[\]-]+$/.test(text) ? text : JSON.stringify(value)}`
  })
  return [level, scope, message, ...words].join(' ')
}

/**
 * Chooses among the lines of one ztunnel: warnings and errors, connections that it refuses included, and everything from its
 * first debug line on, for then somebody has asked for more.
 */
export function worthTelling(): (line: Pick<AccessLine, 'level'>) => boolean {
  let isMoreWanted = false
  return ({ level }) => {
    isMoreWanted ||= level === 'debug'
    return isMoreWanted || level === 'warn' || level === 'error'
  }
}
