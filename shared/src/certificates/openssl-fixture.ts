import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs OpenSSL's command line beside files of these texts; undefined where it is not installed. */
export function openssl(files: Record<string, string>, ...args: string[]): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-openssl-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const { error, stdout, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8', timeout: 10_000 })
    return error ? undefined : stdout + stderr
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export const hasOpenssl = openssl({}, 'version') !== undefined
