import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'

/** A FIFO that took the file's place after it was looked at opens at once, and a terminal does not become ours. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY
/** Room for what is more than the file said: those of /proc say 0. */
const SPARE_BYTES = 4_096

/**
 * The content of a regular file of at most so many bytes. Whatever else stands at the path, or is moved there meanwhile, is
 * refused before a byte of it is read: a FIFO without a writer would hold its reader for ever, and /dev/zero never ends.
 * Throws an error that `whyNotRead` tells. The memory of the result is the caller's alone.
 */
export function readRegularFileSync(path: string, maxBytes: number): Buffer<ArrayBuffer> {
  // Before it is opened, for a socket cannot be and some devices do something then.
  refuseUnfit(statSync(path), maxBytes)
  const fd = openSync(path, FLAGS)
  try {
    const content = new Content(refuseUnfit(fstatSync(fd), maxBytes), maxBytes)
    while (content.took(readSync(fd, content.room()))) {}
    return content.bytes
  } finally {
    closeSync(fd)
  }
}

/** The same by libuv's threads; rejects where the other one throws. */
export async function readRegularFile(path: string, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  refuseUnfit(await stat(path), maxBytes)
  const file = await open(path, FLAGS)
  try {
    const content = new Content(refuseUnfit(await file.stat(), maxBytes), maxBytes)
    while (content.took((await file.read(content.room())).bytesRead)) {}
    return content.bytes
  } finally {
    await file.close()
  }
}

/** Returns the size. */
function refuseUnfit(found: Stats, maxBytes: number): number {
  if (found.isDirectory()) throw new Error('it is a directory')
  if (!found.isFile()) throw new Error('it is no regular file')
  if (found.size > maxBytes) throw tooLarge(maxBytes)
  return found.size
}

function tooLarge(maxBytes: number): Error {
  return new Error(`it is larger than ${maxBytes} bytes`)
}

/** What was read until now. The size that a file says is where to begin, not where it ends: it may grow meanwhile. */
class Content {
  readonly #maxBytes: number
  #buffer: Buffer<ArrayBuffer>
  #length = 0

  constructor(size: number, maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#buffer = Buffer.allocUnsafeSlow(this.#fit(size + SPARE_BYTES))
  }

  get bytes(): Buffer<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length)
  }

  /** Where the next bytes go; never empty. */
  room(): Buffer {
    if (this.#length === this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(this.#fit(2 * this.#length))
      this.#buffer.copy(larger)
      this.#buffer = larger
    }
    return this.#buffer.subarray(this.#length)
  }

  /** False at the end. */
  took(bytesRead: number): boolean {
    this.#length += bytesRead
    if (this.#length > this.#maxBytes) throw tooLarge(this.#maxBytes)
    return bytesRead > 0
  }

  /** One byte more than allowed tells what is too large. */
  #fit(bytes: number): number {
    return Math.min(bytes, this.#maxBytes + 1)
  }
}
