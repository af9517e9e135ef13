import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dump } from 'js-yaml'

/** Resources of a LOCAL_XDS_PATH file, as they are written. */
export type Resource = Readonly<Record<string, unknown>>

/** The directory of a mesh's files; the mesh's janitor removes it. */
export class MeshFiles {
  readonly directory = mkdtempSync(join(tmpdir(), 'ambit-mesh-'))

  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts)
  }

  /** For what a program writes: not beside the files that ztunnels watch, where each line would be news to them. */
  logPath(name: string): string {
    const logs = this.path('logs')
    mkdirSync(logs, { recursive: true })
    return join(logs, name)
  }

  /** Written beside and renamed, as careful editors do: nobody reads half a file. */
  write(name: string, content: unknown): string {
    const path = this.path(name)
    const beside = `${path}.${randomBytes(4).toString('hex')}`
    writeFileSync(beside, typeof content === 'string' ? content : dump(content, { noRefs: true, skipInvalid: true }))
    renameSync(beside, path)
    return path
  }
}
