import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { NetworkNamespace } from './network-namespace.ts'

/** nft takes 20 ms; one that hangs must not hold a pod for ever. */
const TIMEOUT_MS = 10_000
/** Text of a listing or an error that is kept. */
const MAX_OUTPUT_BYTES = 1024 * 1024

/** nft refused a script, hung or is not installed. */
export class NftError extends Error {}

/** Applies a script in the namespace, all of it or nothing. Throws NftError. */
export async function applyNft(namespace: NetworkNamespace, script: string): Promise<void> {
  await runNft(namespace, ['-f', '-'], script)
}

/** A digest of a table as the kernel has it, without handles; undefined where the table is not there. Throws NftError. */
export async function digestOfTable(namespace: NetworkNamespace, table: string): Promise<string | undefined> {
  try {
    const listing = await runNft(namespace, ['-j', 'list', 'table', 'inet', table], '')
    const content = JSON.stringify(JSON.parse(listing), (key, value: unknown) =>
      key === 'handle' || key === 'metainfo' ? undefined : value,
    )
    return createHash('sha256').update(content).digest('hex')
  } catch (error) {
    if (error instanceof NftError && error.message.includes('No such file or directory')) return undefined
    throw error
  }
}

function runNft(namespace: NetworkNamespace, words: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // The child is born inside and stays there: no nsenter needed.
    const child: ChildProcess = namespace.run(() =>
      spawn('nft', words, { stdio: ['pipe', 'pipe', 'pipe'], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' }),
    )
    let output = ''
    let errors = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      if (output.length < MAX_OUTPUT_BYTES) output += chunk.toString('utf8')
    })
    child.stderr?.on('data', (chunk: Buffer) => {
      if (errors.length < MAX_OUTPUT_BYTES) errors += chunk.toString('utf8')
    })
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new NftError(
          error.code === 'ENOENT'
            ? 'the program nft is missing: install the package nftables'
            : `nft: ${error.message}`,
        ),
      )
    })
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output)
      else
        reject(
          new NftError(
            `nft ${words.join(' ')} ${signal ? `was killed by ${signal}` : `failed: ${errors.trim().split('\n')[0] ?? ''}`}`,
          ),
        )
    })
    child.stdin?.on('error', () => {
      // nft ended before it read all; its exit code says why.
    })
    child.stdin?.end(input)
  })
}
