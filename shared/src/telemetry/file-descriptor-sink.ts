import { write, writeSync } from 'node:fs'
import type { Clock } from '../clock/index.ts'
import type { LineSink } from './line-writer.ts'

/** A pipe that another process made non-blocking answers EAGAIN when full; then it is asked again after so long. */
const RETRY_MS = 5
/** How often the last lines of a process are offered to a full pipe, a millisecond apart, before they are given up. */
const LAST_ATTEMPTS = 100

/** Writes to a file descriptor that the process has (1, 2) and does not close it. A reader that went away is ignored. */
export function fileDescriptorSink(fd: number, clock: Clock): LineSink {
  const attempt = (bytes: Buffer, done: () => void): void => {
    write(fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') clock.after(RETRY_MS, () => attempt(bytes, done))
      else if (error || written >= bytes.length) done()
      else attempt(bytes.subarray(written), done)
    })
  }
  return {
    write: (text, done) => attempt(Buffer.from(text, 'latin1'), done),
    writeSync: (text) => writeLast(fd, Buffer.from(text, 'latin1')),
  }
}

function writeLast(fd: number, bytes: Buffer): void {
  let rest = bytes
  for (let attempts = 0; rest.length > 0 && attempts < LAST_ATTEMPTS; attempts++) {
    try {
      rest = rest.subarray(writeSync(fd, rest))
    } catch (error) {
      if (!isFull(error)) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
