import { createHash } from 'node:crypto'
import { existsSync, readFileSync, watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock, Timer } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import type { Log } from '../telemetry/log.ts'

/** An editor writes a file in several steps; those of the first moment are taken as one change. */
const GATHERING_MS = 100
/** Larger is not a file of ours. */
const MAX_BYTES = 256 * 1024 * 1024

export interface WatchedFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /** Takes the content; throws where it is not good, and has then changed nothing. */
  readonly load: (content: Buffer) => void
  /** A file that is not there at start counts as empty; one that goes later leaves the last good state. Default false. */
  readonly mayComeLater?: boolean
}

/**
 * A file that is loaded at start and again whenever it changes. A bad edit is reported and what was loaded before stays. The
 * directory is watched, so that editors' renames and Kubernetes' symlink swaps are seen.
 */
export class WatchedFile {
  readonly #options: WatchedFileOptions
  #watcher: FSWatcher | undefined
  #gathering: Timer | undefined
  /** Of the content that was looked at last, good or bad. */
  #lastDigest: string | undefined

  constructor(options: WatchedFileOptions) {
    this.#options = options
  }

  /** Throws where the first load fails: there is no good state to keep. */
  start(): void {
    this.#watcher = watch(dirname(this.#options.path), { persistent: false }, () => this.#changed())
    this.#watcher.on('error', (error) => {
      this.#options.log.warn('cannot watch the directory of a file; changes are not seen', {
        path: this.#options.path,
        error: error.message,
      })
    })
    try {
      this.#load(this.#options.mayComeLater)
    } catch (error) {
      this.stop()
      throw new Error(`${this.#options.path}: ${messageOf(error)}`, { cause: error })
    }
  }

  stop(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#gathering?.cancel()
  }

  /** Not put off by what follows: a directory in which much is written would put it off for ever. */
  #changed(): void {
    this.#gathering ??= this.#options.clock.after(GATHERING_MS, () => {
      this.#gathering = undefined
      try {
        this.#load()
      } catch (error) {
        this.#options.log.error('file not taken over, the last good state stays', {
          file: basename(this.#options.path),
          error: messageOf(error),
        })
      }
    })
  }

  #load(mayBeMissing = false): void {
    const content = mayBeMissing && !existsSync(this.#options.path) ? Buffer.alloc(0) : readFileSync(this.#options.path)
    if (content.length > MAX_BYTES) throw new Error(`larger than ${MAX_BYTES} bytes`)
    const digest = createHash('sha256').update(content).digest('base64')
    if (digest === this.#lastDigest) return
    // Remembered first: bad content is reported once, not at every stir in its directory.
    this.#lastDigest = digest
    this.#options.load(content)
  }
}
