import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import type { Clock } from '../clock/index.ts'
import type { LineSink } from './line-writer.ts'

/** Of a pipe that several processes share, no more than this is written in one piece (POSIX: PIPE_BUF, of Linux 4096). */
const PIPE_BYTES = 4_096
/** Of a file: it grows by whole writes, whatever their size. */
const FILE_BYTES = 65_536
/** A full pipe is asked again after so long. */
const RETRY_MS = 5
/** How often the last lines of a process are offered to a full pipe, a millisecond apart, before they are given up. */
const LAST_ATTEMPTS = 100

/** Writes to a file descriptor that the process has (1, 2) and does not close it. A reader that went away is ignored. */
export function fileDescriptorSink(fd: number, clock: Clock): LineSink {
  const kind = fstatSync(fd)
  const pipe = kind.isFIFO() ? nonBlocking(fd) : undefined
  const attempt = (bytes: Buffer, done: () => void): void => {
    const settle = (error: unknown, written: number): void => {
      if (isFull(error)) clock.after(RETRY_MS, () => attempt(bytes, done))
      else if (error || written >= bytes.length) done()
      else attempt(bytes.subarray(written), done)
    }
    if (pipe === undefined) write(fd, bytes, settle)
    else {
      const [error, written] = writeNow(pipe, bytes)
      settle(error, written)
    }
  }
  return {
    maxWriteBytes: kind.isFile() ? FILE_BYTES : PIPE_BYTES,
    write: (text, done) => attempt(Buffer.from(text, 'latin1'), done),
    writeSync: (text) => writeLast(pipe ?? fd, Buffer.from(text, 'latin1')),
  }
}

/**
 * The same pipe, opened again so that a full one answers instead of blocking, and only here: whoever else writes to it keeps
 * what they have. A write then needs no thread of the pool, which costs ten times as much (50 µs for each 4 KB). It stays
 * open as long as the process.
 */
function nonBlocking(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return undefined // no /proc, no reader, or not ours to open: then by the thread pool
  }
}

function writeNow(fd: number, bytes: Buffer): readonly [error: unknown, written: number] {
  try {
    return [undefined, writeSync(fd, bytes)]
  } catch (error) {
    return [error, 0]
  }
}

function writeLast(fd: number, bytes: Buffer): void {
  let rest = bytes
  for (let attempts = 0; rest.length > 0 && attempts < LAST_ATTEMPTS; attempts++) {
    const [error, written] = writeNow(fd, rest)
    if (error !== undefined && !isFull(error)) return
    if (error !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    rest = rest.subarray(written)
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
