import { spawn } from 'node:child_process'
import { patienceMs } from './eventually.ts'

/** How a command ended, and what it said. `code` is null where a signal ended it. */
export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly input?: string
  /** Killed after this; by default 5 s more than a test waits for anything. */
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a program to its end and answers what it printed; a program that fails is an answer too. */
export function command(
  words: readonly string[],
  { input = '', timeoutMs = patienceMs + 5_000, env }: CommandOptions = {},
): Promise<CommandResult> {
  const [program = '', ...rest] = words
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: 'pipe',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      env: { ...process.env, ...env },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.on('error', () => {
      // It ended without reading everything; its exit code says why.
    })
    child.stdin.end(input)
  })
}

/** The same where failure is a fault of the test: throws with what the program said. */
export async function must(words: readonly string[], options?: CommandOptions): Promise<string> {
  const { code, stdout, stderr } = await command(words, options)
  if (code !== 0) throw new Error(`${words.join(' ')} failed (${code}): ${stderr.trim() || stdout.trim()}`)
  return stdout
}
