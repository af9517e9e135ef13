import { statSync } from 'node:fs'

/** What tells one state of a file from another without reading it. */
export interface FileStamp {
  /** Equal where the file is. */
  readonly identity: string
  /** When it was written last, in milliseconds since the Unix epoch; undefined where there is no file. */
  readonly writtenAt: number | undefined
  /** In bytes; 0 where there is no file. */
  readonly size: number
}

/** Follows links, so that a swapped link is another file. Never throws; a file that cannot be seen is none. */
export function stampOf(path: string): FileStamp {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, mtimeMs } = statSync(path, { bigint: true })
    return {
      identity: [dev, ino, size, mtimeNs, ctimeNs].join(' '),
      writtenAt: Number(mtimeMs),
      size: Number(size),
    }
  } catch {
    return { identity: 'missing', writtenAt: undefined, size: 0 }
  }
}
