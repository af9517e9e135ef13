import { readFileSync, watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock, Timer } from '../clock/index.ts'
import { messageOf } from '../errors/index.ts'
import type { Log } from '../telemetry/log.ts'

/** An editor writes a file in several steps; they are taken as one change. */
const DEBOUNCE_MS = 100
/** Larger is not a file of ours. */
const MAX_BYTES = 256 * 1024 * 1024

export interface WatchedFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Log
  /** Takes the text; throws where it is not good, and has then changed nothing. */
  readonly load: (text: string) => void
}

/**
 * A file that is loaded at start and again whenever it changes. A bad edit is reported and what was loaded before stays. The
 * directory is watched, so that editors' renames and Kubernetes' symlink swaps are seen.
 */
export class WatchedFile {
  readonly #options: WatchedFileOptions
  #watcher: FSWatcher | undefined
  #debounce: Timer | undefined
  #lastText: string | undefined

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
      this.#load()
    } catch (error) {
      this.stop()
      throw new Error(`${this.#options.path}: ${messageOf(error)}`, { cause: error })
    }
  }

  stop(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#debounce?.cancel()
  }

  #changed(): void {
    this.#debounce?.cancel()
    this.#debounce = this.#options.clock.after(DEBOUNCE_MS, () => {
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

  #load(): void {
    const bytes = readFileSync(this.#options.path)
    if (bytes.length > MAX_BYTES) throw new Error(`larger than ${MAX_BYTES} bytes`)
    const text = bytes.toString('utf8')
    if (text === this.#lastText) return
    // Remembered first: a bad text is reported once, not at every stir in its directory.
    this.#lastText = text
    this.#options.load(text)
  }
}
