import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Says why a file cannot be read; undefined where it can. One that may come later needs only its directory, which is watched.
 */
export function whyUnreadable(path: string, mayComeLater: boolean): string | undefined {
  const directory = dirname(path)
  if (!existsSync(directory)) return `there is no directory ${directory}`
  if (!existsSync(path)) return mayComeLater ? undefined : 'there is no such file'
  if (statSync(path).isDirectory()) return 'it is a directory'
  try {
    accessSync(path, constants.R_OK)
    return undefined
  } catch {
    return 'this process may not read it'
  }
}
