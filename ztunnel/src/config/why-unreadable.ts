import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { whyNotRead } from '@ambit/shared/errors'

/**
 * Says why a file cannot be read; undefined where it can. One that may come later needs only its directory, which is watched.
 */
export function whyUnreadable(path: string, mayComeLater: boolean): string | undefined {
  const directory = dirname(path)
  if (!existsSync(directory)) return `there is no directory ${directory}`
  if (mayComeLater && !existsSync(path)) return undefined
  try {
    const found = statSync(path)
    if (found.isDirectory()) return 'it is a directory'
    if (!found.isFile()) return 'it is no regular file'
    accessSync(path, constants.R_OK)
    return undefined
  } catch (error) {
    return whyNotRead(error)
  }
}
