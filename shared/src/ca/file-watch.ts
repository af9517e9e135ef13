import { stat } from 'node:fs/promises'
import { Repetition, type Clock } from '../clock/index.ts'

/** How often the files are looked at. */
const INTERVAL_MS = 1_000

export interface FileWatchOptions {
  /** Asked at every look, because one file may name others. */
  readonly paths: () => readonly string[]
  readonly clock: Clock
  /** Called when the files differ from those of the last call, and have been the same for two looks. Must not reject. */
  readonly onChange: () => Promise<void>
}

/**
 * Notices that files changed, appeared or went, by looking at their inode, size and time once a second. That follows
 * symbolic links, so it sees a mounted Secret being swapped, which a watch on the file does not. Waiting for two equal
 * looks lets someone copy several files that belong together; one file that must count within the second is a WatchedFile
 * (config-file). Owns one timer until `close`.
 */
export class FileWatch {
  readonly #options: FileWatchOptions
  #loaded: string
  #seen: string
  readonly #looks: Repetition

  /** `fingerprint` is of the files that the caller has loaded, taken before it read them. */
  constructor(options: FileWatchOptions, fingerprint: string) {
    this.#options = options
    this.#loaded = fingerprint
    this.#seen = fingerprint
    this.#looks = new Repetition(options.clock, INTERVAL_MS, () => this.#look())
  }

  close(): void {
    this.#looks.stop()
  }

  async #look(): Promise<void> {
    const now = await fingerprintOf(this.#options.paths())
    const isStable = now === this.#seen
    this.#seen = now
    if (!isStable || now === this.#loaded || this.#looks.isStopped) return
    this.#loaded = now
    await this.#options.onChange()
  }
}

/** Changes whenever one of the files does. Never rejects. */
export async function fingerprintOf(paths: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path, { bigint: true }).catch(() => undefined)
      return found ? `${path} ${found.ino} ${found.size} ${found.mtimeNs}` : `${path} missing`
    }),
  )
  return parts.join('\n')
}
