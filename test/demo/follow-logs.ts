import type { TestMesh } from '../kit/index.ts'

const INTERVAL_MS = 500

/** Tells what the ztunnels warn of from now on, connections that they refuse included. Ends with the process. */
export function followLogs(mesh: TestMesh, tell: (line: string) => void): void {
  for (const node of mesh.nodes.values()) {
    let told = node.proxy.lines.length
    setInterval(() => {
      const { lines } = node.proxy
      for (const line of lines.slice(told)) {
        if (line['level'] === 'warn' || line['level'] === 'error') tell(`node ${node.name}: ${JSON.stringify(line)}`)
      }
      told = lines.length
    }, INTERVAL_MS).unref()
  }
}
