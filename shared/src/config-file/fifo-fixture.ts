import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * Makes a FIFO. Who opens it for reading finds a writer, which says nothing and goes: a reader that would wait for ever, and
 * with it the test, reads an empty file instead. Ends with the test.
 */
export function newFifo(t: { teardown(end: () => Promise<void>): void }, path: string): void {
  execFileSync('mkfifo', [path])
  const writer = spawn('sh', ['-c', ': > "$1"', 'sh', path], { stdio: 'ignore' })
  const ended = once(writer, 'exit')
  t.teardown(async () => {
    writer.kill()
    await ended
  })
}
