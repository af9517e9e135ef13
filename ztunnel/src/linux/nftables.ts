import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { NetworkNamespace } from './network-namespace.ts'

/** nft takes 20 ms; one that hangs must not hold a pod for ever. */
const TIMEOUT_MS = 10_000
/** To list a table of ours takes 10 ms. */
const LISTING_TIMEOUT_MS = 2_000
/** Text of a listing or an error that is taken; a listing of ours has 10 KB. */
const MAX_OUTPUT_BYTES = 1024 * 1024

/** nft refused a script, hung or is not installed. */
export class NftError extends Error {
  /** It took too long, or had too much to say. */
  readonly wasKilled: boolean

  constructor(message: string, wasKilled = false) {
    super(message)
    this.wasKilled = wasKilled
  }
}

/** Applies a script in the namespace, all of it or nothing. Throws NftError. */
export async function applyNft(namespace: NetworkNamespace, script: string): Promise<void> {
  await runNft(namespace, ['-f', '-'], script)
}

/**
 * A digest of a table as the kernel has it, without handles; undefined where the table is not there. One that takes longer to list than
 * 2 s, or than 1 MiB, is not ours: its digest is a symbol that equals no other. Throws NftError.
 */
export async function digestOfTable(namespace: NetworkNamespace, table: string): Promise<string | symbol | undefined> {
  try {
    const listing = await runNft(namespace, ['-j', 'list', 'table', 'inet', table], '', LISTING_TIMEOUT_MS)
    const content = JSON.stringify(JSON.parse(listing), (key, value: unknown) =>
      key === 'handle' || key === 'metainfo' ? undefined : value,
    )
    return createHash('sha256').update(content).digest('hex')
  } catch (error) {
    if (error instanceof NftError && error.wasKilled) return Symbol(error.message)
    if (error instanceof NftError && error.message.includes('No such file or directory')) return undefined
    throw error
  }
}

function runNft(
  namespace: NetworkNamespace,
  words: readonly string[],
  input: string,
  timeoutMs = TIMEOUT_MS,
): Promise<string> {
  return new Promise((resolve, reject) => {
    // The child is born inside and stays there: no nsenter needed.
    const child: ChildProcess = namespace.run(() =>
      spawn('nft', words, { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' }),
    )
    let output = ''
    let errors = ''
    let isLong = false
    child.stdout?.on('data', (chunk: Buffer) => {
      if (output.length < MAX_OUTPUT_BYTES) output += chunk.toString('utf8')
      else {
        isLong = true
        child.kill('SIGKILL')
      }
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
      if (code === 0 && !isLong) resolve(output)
      else
        reject(
          new NftError(
            `nft ${words.join(' ')} ${signal ? `was killed by ${signal}` : `failed: ${errors.trim().split('\n')[0] ?? ''}`}`,
            isLong || signal !== null,
          ),
        )
    })
    child.stdin?.on('error', () => {
      // nft ended before it read all; its exit code says why.
    })
    child.stdin?.end(input)
  })
}
