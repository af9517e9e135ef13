import { constants, fstatSync, openSync, write, writeSync, type Stats } from 'node:fs'
import type { Clock } from '../clock/index.ts'
import type { LineSink } from './line-writer.ts'

/** Of a pipe that several processes share, no more than this is written in one piece (POSIX: PIPE_BUF, of Linux 4096). */
const PIPE_BYTES = 4_096
/** Of a file: it grows by whole writes, whatever their size. */
const FILE_BYTES = 65_536
/** A full pipe is asked again after so long. */
const RETRY_MS = 5
/** How often the last lines of a process are offered to a full pipe or socket, a millisecond apart, before they are given up. */
const LAST_ATTEMPTS = 100

/**
 * Writes to a socket what it takes at once, and answers how much that was. Throws an error of code EAGAIN where it takes nothing,
 * whether the socket is in non-blocking mode or not.
 */
export type SendNow = (fd: number, bytes: Buffer) => number

/**
 * Writes to a file descriptor that the process has (1, 2) and does not close it. A reader that went away is ignored. A socket is
 * written to by `sendNow`, or without that by Node's stream of it, for a process that starts no others: the mode of a socket is
 * shared with all who have it, each child process that is started makes it blocking again, and whoever writes to it then waits for
 * its reader.
 */
export function fileDescriptorSink(fd: number, clock: Clock, sendNow?: SendNow): LineSink {
  const kind = fstatSync(fd)
  const stream = kind.isSocket() && !sendNow ? STREAMS[fd]?.() : undefined
  if (stream) return streamSink(stream, fd)
  const writeNow = kind.isSocket() && sendNow ? (bytes: Buffer) => sendNow(fd, bytes) : pipeWriter(fd, kind)
  let attempts = LAST_ATTEMPTS
  /** What did not fit into it. */
  let waiting: Buffer = NOTHING
  const attempt = (bytes: Buffer, done: () => void): void => {
    waiting = NOTHING
    const settle = (error: unknown, written: number): void => {
      if (isFull(error)) {
        waiting = bytes
        clock.after(RETRY_MS, () => attempt(bytes, done))
      } else if (error || written >= bytes.length) done()
      else attempt(bytes.subarray(written), done)
    }
    if (!writeNow) write(fd, bytes, settle)
    else settle(...outcome(writeNow, bytes))
  }
  return {
    maxWriteBytes: kind.isFile() ? FILE_BYTES : PIPE_BYTES,
    write: (text, done) => attempt(Buffer.from(text, 'latin1'), done),
    writeSync(text) {
      const last = writeNow ?? ((bytes) => writeSync(fd, bytes))
      for (const bytes of [waiting, Buffer.from(text, 'latin1')]) attempts = writeLast(last, bytes, attempts)
      waiting = NOTHING
    },
  }
}

/** Asked for when needed only: each makes its socket non-blocking. */
const STREAMS: Readonly<Record<number, (() => NodeJS.WriteStream) | undefined>> = {
  1: () => process.stdout,
  2: () => process.stderr,
}

/** A write that the socket does not take at once waits in the event loop, not in a thread; the process may end all the same. */
function streamSink(stream: NodeJS.WriteStream, fd: number): LineSink {
  stream.on('error', () => {}) // a reader that went away
  return {
    maxWriteBytes: PIPE_BYTES,
    write: (text, done) => void stream.write(text, 'latin1', () => done()),
    writeSync(text) {
      // Of a line that is half written nobody knows how much is, and nothing fits behind it.
      if (stream.writableLength === 0)
        writeLast((bytes) => writeSync(fd, bytes), Buffer.from(text, 'latin1'), LAST_ATTEMPTS)
    },
  }
}

type WriteNow = (bytes: Buffer) => number

const NOTHING = Buffer.alloc(0)

/**
 * The same pipe, opened again so that a full one answers instead of blocking, and only here: whoever else writes to it keeps
 * what they have. A write then needs no thread of the pool, which costs ten times as much (50 µs for each 4 KB). It stays
 * open as long as the process.
 */
function pipeWriter(fd: number, kind: Stats): WriteNow | undefined {
  if (!kind.isFIFO()) return undefined
  try {
    const pipe = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
    return (bytes) => writeSync(pipe, bytes)
  } catch {
    return undefined // no /proc, no reader, or not ours to open: then by the thread pool
  }
}

function outcome(writeNow: WriteNow, bytes: Buffer): readonly [error: unknown, written: number] {
  try {
    return [undefined, writeNow(bytes)]
  } catch (error) {
    return [error, 0]
  }
}

/** Answers how many attempts are left for what comes behind: without any, nothing is written. */
function writeLast(writeNow: WriteNow, bytes: Buffer, attempts: number): number {
  let left = attempts
  let rest = bytes
  while (rest.length > 0 && left > 0) {
    const [error, written] = outcome(writeNow, rest)
    if (error !== undefined && !isFull(error)) return 0
    if (error !== undefined) {
      left--
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
    rest = rest.subarray(written)
  }
  return left
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
